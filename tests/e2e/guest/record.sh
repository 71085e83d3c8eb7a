# What kdump-load reads of a machine, and what kexec(8) says of it, for tests/golden/machines/record.py. No crash follows.
mount -t securityfs securityfs /sys/kernel/security
[ ! -d /sys/firmware/efi/efivars ] || mount -t efivarfs efivarfs /sys/firmware/efi/efivars
# keep FILE COMMAND: what the command prints, unless it prints nothing.
keep() {
  file=/machine$1
  shift
  mkdir -p ${file%/*}
  "$@" >$file 2>/dev/null
  [ -s $file ] || rm $file
}
for file in /proc/cpuinfo /sys/class/tty/console/active /sys/class/tty/tty[AS]*/type /sys/class/tty/tty[AS]*/io* \
  /sys/class/tty/tty[AS]*/port /sys/firmware/acpi/tables/FACP /proc/iomem /proc/cmdline /proc/modules /proc/sys/kernel/arch /proc/sys/kernel/osrelease \
  /proc/sys/kernel/kexec_load_disabled /proc/sys/kernel/kexec_load_limit_panic /proc/meminfo /sys/firmware/fdt \
  /sys/firmware/efi/systab /sys/firmware/efi/fw_platform_size /sys/firmware/efi/efivars/SecureBoot-* \
  /sys/kernel/boot_params/data /sys/kernel/security/lockdown /sys/kernel/vmcoreinfo /sys/kernel/kexec_crash_* \
  /sys/kernel/crash_elfcorehdr_size /sys/devices/system/cpu/possible /sys/devices/system/cpu/cpu*/crash_notes* \
  /sys/devices/system/cpu/cpu*/regs/identification/midr_el1 /sys/devices/system/*/crash_hotplug; do
  [ ! -e $file ] || keep $file cat $file
done
# The program headers and the notes; what follows is the machine's memory.
keep /proc/kcore dd if=/proc/kcore bs=4096 count=8
keep /proc/kallsyms grep -m1 ' _stext$' /proc/kallsyms
tar -c -C /machine -f /mnt/out/machine.tar proc sys

export LD_LIBRARY_PATH=/lib
step kexec kexec -p -d -c --initrd=/mnt/crash.initrd --append="$(cat /proc/cmdline) $CRASH_APPEND" /mnt/Image

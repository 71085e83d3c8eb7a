# Every image of signed_images.py through check-image and then through the kernel, in one state of the machine after the
# other; then what kdump-load itself does with some of them, and a crash into a signed one.
mount -t securityfs securityfs /sys/kernel/security
# The log then has the error of a signature that the kernel tolerates, or turns down under another name.
echo 'func kimage_validate_signature +p' >/proc/dynamic_debug/control
certificates=$(for file in /mnt/certificates/*; do echo "--cert $file"; done)

kernels="/mnt/kernels/plain /mnt/kernels/signed /mnt/kernels/tampered"
[ ! -e /mnt/kernels/debian ] || kernels="$kernels /mnt/kernels/debian"

# round STATE [UID]: the images belong to UID, which rules of IMA ask for.
round() {
  echo "guest: round $1"
  out=/mnt/out/$1
  mkdir $out
  cat /sys/kernel/security/lockdown >$out/lockdown
  chown ${2:-0} /mnt/images/* $kernels
  for image in /mnt/images/* $kernels; do
    name=$(echo ${image#/mnt/} | sed 's,^images/,,; s,^kernels/,kernel-,')
    kdump-load check-image --json $certificates $image >$out/$name.json 2>$out/$name.stderr
    echo $? >$out/$name.rc
    dmesg -c >/dev/null
    if [ -e /mnt/copies/$name ]; then
      kernel_calls load-copy /mnt/copies/$name >$out/$name.kernel
    else
      kernel_calls load $image >$out/$name.kernel
    fi
    dmesg >$out/$name.dmesg
  done
  kernel_calls load-nothing >$out/kexec_load
  cat /proc/uptime >$out/uptime
}

# load NAME IMAGE [OPTION...]: kdump-load's own load; then what the kernel and `status` say.
load() {
  name=$1
  image=$2
  shift 2
  step $name kdump-load load --kernel /mnt/kernels/$image --initrd /mnt/crash.initrd --append "$CRASH_APPEND" "$@"
  cat /sys/kernel/kexec_crash_loaded >/mnt/out/$name.loaded
  step $name-status kdump-load status
}

# loads ACCEPTED... -- REFUSED...: an accepted one stays armed when others are refused.
loads() {
  while [ "$1" != -- ]; do
    load load-$1 $1
    shift
  done
  shift
  for refused in "$@"; do load refused-$refused $refused; done
  load refused-kexec signed --syscall kexec
  step plan kdump-load plan --json --kernel /mnt/kernels/signed --initrd /mnt/crash.initrd
}

rules() {
  mkdir -p /etc/ima
  cat >/etc/ima/ima-policy  # as it lies on a machine whose systemd loads it
  cat /etc/ima/ima-policy >/sys/kernel/security/ima/policy
}

cat /proc/keys >/mnt/out/keys
if [ -n "$SECURE_BOOT" ]; then
  round secure-boot
  loads gzip signed -- debian plain unknown tampered
  echo 'appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig' | rules
  round secure-boot-ima
  load final ima-and-signed || finish
else
  round none
  echo integrity >/sys/kernel/security/lockdown
  round lockdown
  loads gzip zboot-inner signed -- plain unknown tampered tampered-unknown tampered-signature
  ring=$(sed -n 's/^\([0-9a-f]*\) .* keyring *\.ima: .*/\1/p' /proc/keys)
  kernel_calls add-key $ring /mnt/certificates/ima.der >/mnt/out/add-key
  # One list of rules for three states: what applies depends on the owner of the image.
  rules <<END
appraise func=KEXEC_KERNEL_CHECK fowner=1 appraise_type=imasig
appraise func=KEXEC_KERNEL_CHECK fowner=2
appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig|modsig
END
  cat /sys/kernel/security/ima/policy >/mnt/out/ima-policy
  round ima-signature 1
  round ima-digest 2
  round ima-appended
  load load-ima ima-and-signed
  load refused-without-ima signed
  load final ima-and-signed || finish
fi
sync
echo c >/proc/sysrq-trigger

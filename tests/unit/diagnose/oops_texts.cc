#include "tests/unit/diagnose/oops_texts.h"

namespace kdk::test {

std::vector<OopsText> oops_texts() {
  return {
      {"sysrq_crash", "sysrq: Trigger a crash",
       R"(sysrq: Trigger a crash
Kernel panic - not syncing: sysrq triggered crash
CPU: 0 UID: 0 PID: 1 Comm: init Kdump: loaded Not tainted 6.12.117+deb12-cloud-arm64 #1  Debian 6.12.117-1~deb12u1
Hardware name: linux,dummy-virt (DT)
Call trace:
 dump_backtrace+0xa0/0x128
 show_stack+0x20/0x38
 dump_stack_lvl+0x38/0x90
 dump_stack+0x18/0x28
 panic+0x398/0x400
 sysrq_handle_crash+0x20/0x28
 __handle_sysrq+0xb4/0x1e0
 write_sysrq_trigger+0xec/0x108
 proc_reg_write+0xa4/0x100
 el0_svc_common.constprop.0+0x48/0xf0
 el0t_64_sync+0x190/0x198
SMP: stopping secondary CPUs
Starting crashdump kernel...
Bye!)",
       "dump_backtrace", "el0t_64_sync", 0, 1, "init"},

      // Kernels before v4.20 really dereferenced NULL for sysrq-c.
      {"sysrq_crash", "SysRq : Trigger a crash",
       R"(SysRq : Trigger a crash
Unable to handle kernel NULL pointer dereference at virtual address 00000000
pgd = ffff80007a3e2000
[00000000] *pgd=00000000ba3d5003, *pud=00000000ba3d6003, *pmd=0000000000000000
Internal error: Oops: 96000046 [#1] SMP
Modules linked in: overlay virtio_net
CPU: 3 PID: 2147 Comm: bash Not tainted 4.9.0-19-arm64 #1 Debian 4.9.320-2
Hardware name: linux,dummy-virt (DT)
task: ffff80007a1d0c80 task.stack: ffff80007b3c8000
PC is at sysrq_handle_crash+0x24/0x30
LR is at __handle_sysrq+0x12c/0x1a0
Call trace:
[<ffff00000855f0ac>] sysrq_handle_crash+0x24/0x30
[<ffff00000855f874>] __handle_sysrq+0x12c/0x1a0
[<ffff00000855fdb4>] write_sysrq_trigger+0x64/0x78
Code: 52800020 b9075820 d5033e9f d2800001 (39000020)
---[ end trace 9a3b6fd4e5b4e0c1 ]---)",
       "sysrq_handle_crash", "write_sysrq_trigger", 3, 2147, "bash"},

      {"null_deref", "Unable to handle kernel NULL pointer dereference",
       R"(Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008
Mem abort info:
  ESR = 0x0000000096000004
  EC = 0x25: DABT (current EL), IL = 32 bits
  SET = 0, FnV = 0
  EA = 0, S1PTW = 0
  FSC = 0x04: level 0 translation fault
Data abort info:
  ISV = 0, ISS = 0x00000004, ISS2 = 0x00000000
  CM = 0, WnR = 0, TnD = 0, TagAccess = 0
user pgtable: 4k pages, 48-bit VAs, pgdp=0000000043a58000
[0000000000000008] pgd=0000000000000000, p4d=0000000000000000
Internal error: Oops: 0000000096000004 [#1] SMP
Modules linked in: faulty(OE) virtio_blk ext4
CPU: 1 UID: 0 PID: 412 Comm: my worker Tainted: G           OE      6.13.4-arm64 #1
Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE
Hardware name: QEMU KVM Virtual Machine, BIOS edk2-stable202302-for-qemu 03/01/2023
pstate: 60400005 (nZCv daif +PAN -UAO -TCO -DIT -SSBS BTYPE=--)
pc : faulty_write+0x14/0x20 [faulty]
lr : vfs_write+0xe4/0x3c8
sp : ffff800080c2bca0
Call trace:
 faulty_write+0x14/0x20 [faulty 3c0fa8d1a2b3c4d5e6f708192a3b4c5d6e7f8091] (P)
 vfs_write+0xe4/0x3c8 (L)
 vfs_write+0xe4/0x3c8
 ksys_write+0x7c/0x120
 __arm64_sys_write+0x24/0x38
 el0t_64_sync+0x190/0x198
Code: d2800001 d2800000 d503233f d50323bf (b900003f)
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Oops: Fatal exception
SMP: stopping secondary CPUs)",
       "faulty_write", "el0t_64_sync", 1, 412, "my worker"},

      // kexec_should_crash(): the oops jumps into the crash kernel, and there is no panic line.
      {"bad_paging", "Unable to handle kernel paging request",
       R"(Unable to handle kernel paging request at virtual address dead000000000108
Mem abort info:
  ESR = 0x0000000096000044
[dead000000000108] address between user and kernel address ranges
Internal error: Oops: 0000000096000044 [#1] PREEMPT SMP
CPU: 2 PID: 0 Comm: swapper/2 Kdump: loaded Not tainted 6.1.0-56-cloud-arm64 #1  Debian 6.1.176-1
pc : detach_if_pending+0x58/0xd0
lr : try_to_del_timer_sync+0x60/0xa4
Call trace:
 detach_if_pending+0x58/0xd0
 del_timer_sync+0x44/0xa0
 call_timer_fn+0x30/0x150
 __run_timers+0x24c/0x310
 run_timer_softirq+0x28/0x50
 ret_from_fork+0x10/0x20
Code: f9400661 f9400260 f9000420 b4000040 (f9000401)
Starting crashdump kernel...
Bye!)",
       "detach_if_pending", "ret_from_fork", 2, 0, "swapper/2"},

      {"bad_paging", "access to user memory outside uaccess",
       R"(Unable to handle kernel access to user memory outside uaccess routines at virtual address 0000aaaab5f1c2a0
Mem abort info:
  ESR = 0x000000009600000f
Internal error: Oops: 000000009600000f [#1] SMP
CPU: 0 PID: 77 Comm: cat Not tainted 6.1.0 #1
Call trace:
 lkdtm_ACCESS_USERSPACE+0x98/0x160
 direct_entry+0xbc/0x150
Kernel panic - not syncing: Oops: Fatal exception)",
       "lkdtm_ACCESS_USERSPACE", "direct_entry", 0, 77, "cat"},

      {"bad_paging", "write to read-only memory",
       R"(Unable to handle kernel write to read-only memory at virtual address ffffd775c3d41000
Internal error: Oops: 000000009600004e [#1] SMP
Kernel panic - not syncing: Oops: Fatal exception)",
       "", ""},

      {"bug_on", "kernel BUG at",
       R"(------------[ cut here ]------------
kernel BUG at drivers/misc/lkdtm/bugs.c:105!
Internal error: Oops - BUG: 00000000f2000800 [#1] SMP
CPU: 1 PID: 300 Comm: bash Not tainted 6.12.0 #1
pc : lkdtm_BUG+0xc/0x18
Call trace:
 lkdtm_BUG+0xc/0x18 (P)
 direct_entry+0xbc/0x150
 full_proxy_write+0x68/0xc8
Kernel panic - not syncing: Oops - BUG: Fatal exception)",
       "lkdtm_BUG", "full_proxy_write", 1, 300, "bash"},

      {"warn_panic", "panic_on_warn set",
       R"(------------[ cut here ]------------
WARNING: CPU: 0 PID: 301 at drivers/misc/lkdtm/bugs.c:117 lkdtm_WARNING+0x24/0x30
Modules linked in: lkdtm
CPU: 0 UID: 0 PID: 301 Comm: bash Not tainted 6.12.0 #1
Call trace:
 lkdtm_WARNING+0x24/0x30
 direct_entry+0xbc/0x150
Kernel panic - not syncing: kernel: panic_on_warn set ...
CPU: 0 UID: 0 PID: 301 Comm: bash Not tainted 6.12.0 #1
Call trace:
 dump_backtrace+0xa0/0x128
 panic+0x398/0x400
 check_panic_on_warn+0x80/0x90
 __warn+0x90/0x150
 el1h_64_sync+0x78/0x80
 lkdtm_WARNING+0x24/0x30
 direct_entry+0xbc/0x150)",
       "dump_backtrace", "direct_entry", 0, 301, "bash"},

      {"list_corruption", "list_del corruption",
       R"(list_del corruption. prev->next should be ffff0000c51a9a48, but was dead000000000100. (prev=ffff0000c51a9b48)
------------[ cut here ]------------
kernel BUG at lib/list_debug.c:62!
Internal error: Oops - BUG: 00000000f2000800 [#1] SMP
CPU: 0 PID: 9 Comm: kworker/0:1 Not tainted 6.12.0 #1
Call trace:
 __list_del_entry_valid_or_report+0x108/0x110
 process_one_work+0x180/0x3c0
 worker_thread+0x2d4/0x3e8
 kthread+0xe4/0xf0
 ret_from_fork+0x10/0x20
Kernel panic - not syncing: Oops - BUG: Fatal exception)",
       "__list_del_entry_valid_or_report", "ret_from_fork", 0, 9, "kworker/0:1"},

      {"refcount", "refcount_t: underflow",
       R"(------------[ cut here ]------------
refcount_t: underflow; use-after-free.
WARNING: CPU: 1 PID: 22 at lib/refcount.c:28 refcount_warn_saturate+0xf4/0x144
Kernel panic - not syncing: kernel: panic_on_warn set ...)",
       "", ""},

      {"fortify", "detected buffer overflow: 20 byte write",
       R"(------------[ cut here ]------------
memcpy: detected buffer overflow: 20 byte write of buffer size 16
WARNING: CPU: 1 PID: 22 at lib/string_helpers.c:1032 __fortify_report+0x50/0x7c
kernel BUG at lib/string_helpers.c:1040!
Internal error: Oops - BUG: 00000000f2000800 [#1] SMP
Kernel panic - not syncing: Oops - BUG: Fatal exception)",
       "", ""},

      {"fortify", "detected buffer overflow in strcpy",  // older kernels
       R"(detected buffer overflow in strcpy
kernel BUG at lib/string_helpers.c:1027!
Internal error: Oops - BUG: 00000000f2000800 [#1] SMP
Kernel panic - not syncing: Oops - BUG: Fatal exception)",
       "", ""},

      {"fortify", "detected field-spanning write",
       R"(------------[ cut here ]------------
memcpy: detected field-spanning write (size 15) of single field "target.a" at drivers/misc/lkdtm/fortify.c:121 (size 10)
WARNING: CPU: 1 PID: 22 at drivers/misc/lkdtm/fortify.c:121 lkdtm_FORTIFY_MEM_MEMBER+0xf4/0x144
Kernel panic - not syncing: kernel: panic_on_warn set ...)",
       "", ""},

      {"slab_corruption", "Wrong slab cache",
       R"(------------[ cut here ]------------
cache_from_obj: Wrong slab cache. lkdtm-heap-b but object is from lkdtm-heap-a
WARNING: CPU: 1 PID: 22 at mm/slub.c:4770 kmem_cache_free+0xf4/0x344
Kernel panic - not syncing: kernel: panic_on_warn set ...)",
       "", ""},

      {"slab_corruption", "not a Slab page",
       R"(------------[ cut here ]------------
virt_to_cache: Object is not a Slab page!
WARNING: CPU: 1 PID: 22 at mm/slub.c:4756 kmem_cache_free+0xf4/0x344
Kernel panic - not syncing: kernel: panic_on_warn set ...)",
       "", ""},

      {"bad_page", "BUG: Bad page state",
       R"(BUG: Bad page state in process stress  pfn:4c0d1
page: refcount:-1 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x4c0d1
page dumped because: nonzero _refcount
Kernel panic - not syncing: panic_on_taint set ...)",
       "", ""},

      {"slab_corruption", "Poison overwritten",
       R"(=============================================================================
BUG kmalloc-64 (Tainted: G    B             ): Poison overwritten
-----------------------------------------------------------------------------
Kernel panic - not syncing: panic_on_taint set ...)",
       "", ""},

      {"double_free", "Object already free",
       R"(BUG kmalloc-128 (Not tainted): Object already free
Kernel panic - not syncing: panic_on_taint set ...)",
       "", ""},

      {"double_free", "allocated objects but 1 are to be freed",
       R"(=============================================================================
BUG kdk_objects (Tainted: G           OE     ): Slab has 0 allocated objects but 1 are to be freed
-----------------------------------------------------------------------------
Kernel panic - not syncing: panic_on_taint set ...)",
       "", ""},

      // Whatever it says of a cache.
      {"slab_corruption", "Object corrupt",
       R"(BUG kdk_objects (Not tainted): Object corrupt
Kernel panic - not syncing: panic_on_taint set ...)",
       "", ""},

      {"atomic_sleep", "scheduling while atomic",
       R"(BUG: scheduling while atomic: sh/139/0x00000200
Kernel panic - not syncing: scheduling while atomic: panic_on_warn set ...)",
       "", ""},

      {"kasan", "BUG: KASAN: slab-out-of-bounds",
       R"(==================================================================
BUG: KASAN: slab-out-of-bounds in kmalloc_oob_right+0x1c4/0x24c
Write of size 1 at addr ffff0000c5e3a973 by task insmod/88
==================================================================
Kernel panic - not syncing: KASAN: panic_on_warn set ...)",
       "", ""},

      {"double_free", "BUG: KASAN: double-free",
       R"(BUG: KASAN: double-free in kmem_cache_free+0x1c4/0x24c
Free of addr f6ff000003a12300 by task sh/88
Kernel panic - not syncing: KASAN: panic_on_warn set ...)",
       "", ""},

      {"kasan", "kasan.fault=panic set",  // the report is lost
       R"(Kernel panic - not syncing: kasan.fault=panic set ...)", "", ""},

      {"kfence", "BUG: KFENCE: use-after-free read",
       R"(BUG: KFENCE: use-after-free read in test_use_after_free_read+0xb3/0x143
Kernel panic - not syncing: KFENCE: panic_on_warn set ...)",
       "", ""},

      {"ubsan", "Oops - UBSAN",
       R"(Internal error: Oops - UBSAN: array index out of bounds: 00000000f2005512 [#1] SMP
Kernel panic - not syncing: Oops - UBSAN: array index out of bounds: Fatal exception)",
       "", ""},

      {"mte_tag_fault", "BUG: KASAN: invalid-access",
       R"(BUG: KASAN: invalid-access in kasan_bitops_tags+0x60/0x1d0
Pointer tag: [f0], memory tag: [fe]
Unable to handle kernel paging request at virtual address f0ff0000c0a0b0c0
Internal error: Oops: 0000000096000011 [#1] SMP
Kernel panic - not syncing: Oops: Fatal exception)",
       "", ""},

      {"fpac", "Oops - FPAC",
       R"(Internal error: Oops - FPAC: 0000000072000000 [#1] SMP
Kernel panic - not syncing: Oops - FPAC: Fatal exception)",
       "", ""},

      {"bti", "Oops - BTI",
       R"(Internal error: Oops - BTI: 0000000036000002 [#1] SMP
Kernel panic - not syncing: Oops - BTI: Fatal exception)",
       "", ""},

      {"cfi", "CFI failure at",
       R"(CFI failure at lkdtm_indirect_call+0x1c/0x30 (target: lkdtm_increment_int+0x0/0x10; expected type: 0x9e2f8d1c)
Internal error: Oops - CFI: 00000000f2008228 [#1] SMP
Kernel panic - not syncing: Oops - CFI: Fatal exception)",
       "", ""},

      {"stack_overflow", "kernel stack overflow",
       R"(Insufficient stack space to handle exception!
ESR: 0x0000000096000047 -- DABT (current EL)
FAR: 0xffff8000812a7ff0
Task stack:     [0xffff8000812a8000..0xffff8000812ac000]
IRQ stack:      [0xffff800080000000..0xffff800080004000]
Overflow stack: [0xffff00007faf02b0..0xffff00007faf12b0]
CPU: 1 UID: 0 PID: 310 Comm: bash Not tainted 6.12.0 #1
pc : recursive_loop+0x10/0x70
Kernel panic - not syncing: kernel stack overflow
CPU: 1 UID: 0 PID: 310 Comm: bash Not tainted 6.12.0 #1
Call trace:
 dump_backtrace+0xa0/0x128
 panic+0x398/0x400
 __bad_stack+0x78/0x80
 recursive_loop+0x10/0x70
 recursive_loop+0x40/0x70
 el0t_64_sync+0x190/0x198)",
       "dump_backtrace", "el0t_64_sync", 1, 310, "bash"},

      {"stack_protector", "stack-protector",
       R"(Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: lkdtm_CORRUPT_STACK+0x5c/0x60
CPU: 0 PID: 300 Comm: bash Not tainted 6.1.0 #1
Call trace:
 dump_backtrace.part.0+0xe8/0xf4
 show_stack+0x20/0x30
 dump_stack_lvl+0x68/0x84
 dump_stack+0x18/0x34
 panic+0x180/0x334
 warn_bogus_irq_restore+0x0/0x40
 lkdtm_CORRUPT_STACK+0x5c/0x60)",
       "dump_backtrace.part.0", "lkdtm_CORRUPT_STACK", 0, 300, "bash"},

      {"serror", "Asynchronous SError Interrupt",
       R"(SError Interrupt on CPU3, code 0x00000000bf000002 -- SError
CPU: 3 PID: 1 Comm: systemd Not tainted 6.1.0 #1
pc : ioread32+0x14/0x30
Kernel panic - not syncing: Asynchronous SError Interrupt
CPU: 3 PID: 1 Comm: systemd Not tainted 6.1.0 #1
Call trace:
 dump_backtrace.part.0+0xe8/0xf4
 panic+0x180/0x334
 nmi_panic+0xac/0xb0
 arm64_serror_panic+0x6c/0x80
 el1h_64_error+0x64/0x68
 ioread32+0x14/0x30)",
       "dump_backtrace.part.0", "ioread32", 3, 1, "systemd"},

      {"sea", "synchronous external abort",
       R"(Internal error: synchronous external abort: 0000000096000210 [#1] SMP
CPU: 0 PID: 1 Comm: init Not tainted 6.12.0 #1
Kernel panic - not syncing: synchronous external abort: Fatal exception)",
       "", "", 0, 1, "init"},

      {"mce", "Fatal hardware error",
       R"({1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 1
{1}[Hardware Error]: event severity: fatal
Kernel panic - not syncing: Fatal hardware error!)",
       "", ""},

      {"hung_task", "hung_task: blocked tasks",
       R"(INFO: task kworker/u8:2:57 blocked for more than 120 seconds.
      Not tainted 6.12.0 #1
"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
task:kworker/u8:2    state:D stack:0     pid:57    tgid:57    ppid:2      flags:0x00000208
Call trace:
 __switch_to+0xf0/0x150
 schedule+0x3c/0x110
Kernel panic - not syncing: hung_task: blocked tasks
CPU: 1 UID: 0 PID: 35 Comm: khungtaskd Not tainted 6.12.0 #1
Call trace:
 dump_backtrace+0xa0/0x128
 panic+0x398/0x400
 watchdog+0x2a0/0x500
 kthread+0xe4/0xf0
 ret_from_fork+0x10/0x20)",
       "dump_backtrace", "ret_from_fork", 1, 35, "khungtaskd"},

      {"soft_lockup", "softlockup: hung tasks",
       R"(watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [insmod:402]
CPU: 1 UID: 0 PID: 402 Comm: insmod Not tainted 6.12.0 #1
pc : spin_forever+0x18/0x20 [stuck]
Call trace:
 spin_forever+0x18/0x20 [stuck]
Kernel panic - not syncing: softlockup: hung tasks
CPU: 1 UID: 0 PID: 402 Comm: insmod Tainted: G             L     6.12.0 #1
Call trace:
 dump_backtrace+0xa0/0x128
 panic+0x398/0x400
 watchdog_timer_fn+0x240/0x248
 el1h_64_irq+0x6c/0x70
 spin_forever+0x18/0x20 [stuck]
 do_one_initcall+0x60/0x2b8)",
       "dump_backtrace", "do_one_initcall", 1, 402, "insmod"},

      {"hard_lockup", "Hard LOCKUP",
       R"(Watchdog detected hard LOCKUP on cpu 2
Kernel panic - not syncing: Hard LOCKUP)",
       "", ""},

      {"rcu_stall", "RCU Stall",
       R"(rcu: INFO: rcu_sched self-detected stall on CPU
rcu: 	1-....: (5249 ticks this GP) idle=6a4c/1/0x4000000000000000 softirq=1021/1021 fqs=2607
Kernel panic - not syncing: RCU Stall)",
       "", ""},

      {"watchdog_pretimeout", "watchdog pretimeout event",
       "Kernel panic - not syncing: watchdog pretimeout event", "", ""},
      {"watchdog_nmi", "NMI: Not continuing", "Kernel panic - not syncing: NMI: Not continuing", "", ""},

      {"oom_panic", "panic_on_oom",
       R"(stress invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0
Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled)",
       "", ""},
      {"oom_panic", "deadlocked on memory", "Kernel panic - not syncing: System is deadlocked on memory", "",
       ""},

      {"init_died", "Attempted to kill init",
       R"(Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100
CPU: 0 UID: 0 PID: 1 Comm: init Not tainted 6.12.0 #1
Call trace:
 panic+0x398/0x400
 do_exit+0x8c0/0x9d0
 do_group_exit+0x3c/0xa0)",
       "panic", "do_group_exit", 0, 1, "init"},
      // An oops of init: the oops is the cause, the death of init its consequence.
      {"null_deref", "NULL pointer dereference",
       R"(Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000
Internal error: Oops: 0000000096000044 [#1] SMP
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b)",
       "", ""},

      {"no_root", "Unable to mount root fs",
       R"(Kernel panic - not syncing: VFS: Unable to mount root fs on "/dev/vda1" or unknown-block(254,1))",
       "", ""},

      {"invalid_op", "Undefined instruction",
       R"(Internal error: Oops - Undefined instruction: 0000000002000000 [#1] SMP
Kernel panic - not syncing: Oops - Undefined instruction: Fatal exception in interrupt)",
       "", "", -1, -1, "", true},

      {"gpf", "general protection fault",
       R"(general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] PREEMPT SMP NOPTI
CPU: 1 PID: 512 Comm: modprobe Not tainted 6.1.0-18-amd64 #1  Debian 6.1.76-1
RIP: 0010:list_del_init+0x12/0x30 [foo]
Call Trace:
 <TASK>
 ? die_addr+0x36/0x60
 foo_exit+0x1e/0xff0 [foo]
 __do_sys_delete_module.constprop.0+0x1a3/0x2f0
 do_syscall_64+0x55/0xb0
 </TASK>
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Fatal exception)",
       "list_del_init", "do_syscall_64", 1, 512, "modprobe"},

      {"null_deref", "kernel NULL pointer dereference",
       R"(BUG: kernel NULL pointer dereference, address: 0000000000000000
#PF: supervisor write access in kernel mode
Oops: 0002 [#1] PREEMPT SMP NOPTI
Kernel panic - not syncing: Fatal exception)",
       "", ""},

      {"panic", "some driver gave up",
       R"(Kernel panic - not syncing: some driver gave up
CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.12.0 #1)",
       "", "", 0, 1, "swapper/0"},

      {"no_panic", "",
       R"(EXT4-fs (vda1): mounted filesystem r/w with ordered data mode. Quota mode: none.
INFO: task tar:88 blocked for more than 120 seconds.
eth0: link up)",
       "", ""},
  };
}

}  // namespace kdk::test

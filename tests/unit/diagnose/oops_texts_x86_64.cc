// As oops_texts.cc, of x86-64 kernels.
#include "tests/unit/diagnose/oops_texts.h"

namespace kdk::test {

std::vector<OopsText> oops_texts_x86_64() {
  return {
      // 6.1, straight into the crash kernel: no panic line. "?" entries are stale words of the stack.
      {"null_deref", "kernel NULL pointer dereference",
       R"(BUG: kernel NULL pointer dereference, address: 0000000000000008
#PF: supervisor write access in kernel mode
#PF: error_code(0x0002) - not-present page
PGD 0 P4D 0
Oops: 0002 [#1] PREEMPT SMP NOPTI
CPU: 1 PID: 77 Comm: my worker Kdump: loaded Tainted: G           OE      6.1.0-56-cloud-amd64 #1  Debian 6.1.192-2
Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2-debian-1.16.2-1 04/01/2014
RIP: 0010:faulty_write+0x9/0x20 [faulty]
Code: 00 00 00 0f 1f 44 00 00 48 c7 c0 f4 ff ff ff c3 cc cc cc cc 66 0f 1f 44 00 00 0f 1f 44 00 00 31 c0 <c7> 00 00 00 00 00 c3
RSP: 0018:ffffa0c340427e40 EFLAGS: 00010246
RAX: 0000000000000008 RBX: ffff8f2d01d5e500 RCX: 0000000000000000
RDX: 0000000000000004 RSI: 00005581b3a2e2a0 RDI: ffff8f2d01d5e500
RBP: 0000000000000004 R08: 0000000000000000 R09: 0000000000000000
R10: 0000000000000000 R11: 0000000000000000 R12: 00005581b3a2e2a0
R13: ffffa0c340427ec8 R14: 0000000000000000 R15: 0000000000000000
FS:  00007f1d8a5d5740(0000) GS:ffff8f2d3dd00000(0000) knlGS:0000000000000000
CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033
CR2: 0000000000000008 CR3: 0000000004a1c000 CR4: 00000000000006e0
Call Trace:
 <TASK>
 ? __die_body.cold+0x1a/0x1f
 ? page_fault_oops+0xd2/0x2b0
 ? asm_exc_page_fault+0x22/0x30
 ? faulty_write+0x9/0x20 [faulty]
 vfs_write+0xc7/0x3f0
 ksys_write+0x6b/0xf0
 do_syscall_64+0x5d/0x90
 entry_SYSCALL_64_after_hwframe+0x6e/0xd8
RIP: 0033:0x7f1d8a6d1240
Code: 40 00 48 8b 15 c1 9b 0d 00 f7 d8 64 89 02 48 c7 c0 ff ff ff ff eb b7 0f 1f 00 80 3d a1 23 0e 00 00
RSP: 002b:00007ffd6ab2be18 EFLAGS: 00000202 ORIG_RAX: 0000000000000001
 </TASK>
Modules linked in: faulty(OE) virtio_net
CR2: 0000000000000008
---[ end trace 0000000000000000 ]---)",
       "faulty_write", "entry_SYSCALL_64_after_hwframe", 1, 77, "my worker"},

      // 6.12 says Oops twice and prints the UID; in an interrupt, with registers between the entries.
      {"bad_paging", "unable to handle page fault",
       R"(BUG: unable to handle page fault for address: ffffc90000a3f000
#PF: supervisor read access in kernel mode
#PF: error_code(0x0000) - not-present page
PGD 100000067 P4D 100000067 PUD 100154067 PMD 0
Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI
CPU: 0 UID: 0 PID: 0 Comm: swapper/0 Kdump: loaded Tainted: G           OE      6.12.117+deb12-cloud-amd64 #1
Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE
RIP: 0010:faulty_timer+0x15/0x30 [faulty]
Code: 0f 1f 44 00 00 48 8b 07 <48> 8b 00 c3
RSP: 0018:ffa0000000003ee8 EFLAGS: 00010246
CR2: ffffc90000a3f000 CR3: 000000000362e000 CR4: 0000000000751ef0
PKRU: 55555554
Call Trace:
 <IRQ>
 ? asm_exc_page_fault+0x26/0x30
 __hrtimer_run_queues+0x112/0x2b0
 hrtimer_interrupt+0xfa/0x230
 __sysvec_apic_timer_interrupt+0x55/0x100
 sysvec_apic_timer_interrupt+0x6c/0x90
 </IRQ>
 <TASK>
 asm_sysvec_apic_timer_interrupt+0x1a/0x20
RIP: 0010:pv_native_safe_halt+0xf/0x20
Code: 22 d7 e9 24 c7 1a 00 0f 1f 40 00 90 90 90 90 90
RSP: 0018:ffffffff83603ea8 EFLAGS: 00000202
RAX: 0000000000000000 RBX: ffffffff8360d180 RCX: 0000000000000000
RDX: 4000000000000000 RSI: ffffffff8316c2f5 RDI: 0000000000014e64
RBP: 0000000000000000 R08: 0000000000014e64 R09: 0000000000000000
R10: 0000000000000000 R11: 0000000000000000 R12: 0000000000000000
R13: 0000000000000000 R14: 0000000000000000 R15: 0000000000013c60
 ? ct_kernel_exit.isra.0+0x71/0x90
 default_idle+0x9/0x20
 do_idle+0x1fd/0x260
 start_secondary+0x11e/0x140
 common_startup_64+0x13e/0x148
 </TASK>
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Fatal exception in interrupt)",
       "faulty_timer", "common_startup_64", 0, 0, "swapper/0", true},

      // What is in a page that may not be executed: every entry of the trace is a guess.
      {"bad_paging", "kernel tried to execute NX-protected page",
       R"(kernel tried to execute NX-protected page - exploit attempt? (uid: 0)
BUG: unable to handle page fault for address: ffff8bef812dd2d0
#PF: supervisor instruction fetch in kernel mode
#PF: error_code(0x0011) - permissions violation
PGD 7001067 P4D 7001067 PUD 7002067 PMD 1943063 PTE 80000000012dd163
Oops: 0011 [#1] PREEMPT SMP NOPTI
CPU: 1 PID: 92 Comm: sh Tainted: G           OE      6.1.0-57-cloud-amd64 #1  Debian 6.1.192-3
RIP: 0010:0xffff8bef812dd2d0
Code: 62 00 67 70 65 32 46 00 00 00 a9 78 89 ca ef 30 a3 5f 01 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00 50 4e 50 30 43 30 46 00 <c3> 00 00 00 00 00 00 00 50 4e 50 30 43 30 31 00 77 61 6b 65 75 70
RSP: 0018:ffffd27ec037bda0 EFLAGS: 00000282
CR2: ffff8bef812dd2d0 CR3: 000000000275a000 CR4: 00000000003006a0
Call Trace:
 <TASK>
 ? kdk_exec_data+0x25/0x30 [kdk_plant]
 ? plant_set+0x35/0x60 [kdk_plant]
 ? param_attr_store+0x94/0xe0
 ? module_attr_store+0x1d/0x30
 ? kernfs_fop_write_iter+0x12e/0x200
 ? vfs_write+0x235/0x3f0
 ? ksys_write+0x6b/0xf0
 ? do_syscall_64+0x5d/0x90
 ? exit_to_user_mode_prepare+0x44/0x240
 ? entry_SYSCALL_64_after_hwframe+0x6e/0xd8
 </TASK>
Modules linked in: kdk_plant(OE)
CR2: ffff8bef812dd2d0
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Fatal exception)",
       "0xffff8bef812dd2d0", "0xffff8bef812dd2d0", 1, 92, "sh"},

      // Of the process.
      {"bad_paging", "unable to execute userspace code (SMEP?)",
       R"(unable to execute userspace code (SMEP?) (uid: 0)
BUG: unable to handle page fault for address: 00007fcd7dd03000
#PF: supervisor instruction fetch in kernel mode
#PF: error_code(0x0011) - permissions violation
PGD 218b067 P4D 218b067 PUD 23e3067 PMD 1d77067 PTE 85ea867
Oops: Oops: 0011 [#1] PREEMPT SMP NOPTI
CPU: 0 UID: 0 PID: 147 Comm: sh Tainted: G           OE      6.12.117+deb12-cloud-amd64 #1  Debian 6.12.117-1~deb12u1
Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE
RIP: 0010:0x7fcd7dd03000
Code: Unable to access opcode bytes at 0x7fcd7dd02fd6.
RSP: 0018:ffffcf5e404cbd80 EFLAGS: 00000206
CR2: 00007fcd7dd03000 CR3: 000000000214c000 CR4: 00000000003006f0
Call Trace:
 <TASK>
 ? kdk_exec_user+0x18/0x20 [kdk_plant]
 ? plant_set+0x39/0x70 [kdk_plant]
 ? param_attr_store+0x98/0xf0
 ? module_attr_store+0x21/0x40
 ? kernfs_fop_write_iter+0x12f/0x210
 ? vfs_write+0x28f/0x450
 ? ksys_write+0x6f/0xf0
 ? do_syscall_64+0x87/0x180
 ? arch_exit_to_user_mode_prepare.constprop.0+0x16/0xa0
 ? entry_SYSCALL_64_after_hwframe+0x76/0x7e
 </TASK>
Modules linked in: kdk_plant(OE)
CR2: 00007fcd7dd03000
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Fatal exception)",
       "0x7fcd7dd03000", "0x7fcd7dd03000", 0, 147, "sh"},

      // Read where SMAP does not allow it.
      {"bad_paging", "unable to handle page fault",
       R"(BUG: unable to handle page fault for address: 00007f6bf8b9f000
#PF: supervisor read access in kernel mode
#PF: error_code(0x0001) - permissions violation
PGD 2196067 P4D 2196067 PUD 2191067 PMD 1ce9067 PTE 96ff867
Oops: Oops: 0001 [#1] PREEMPT SMP NOPTI
CPU: 1 UID: 0 PID: 147 Comm: sh Tainted: G           OE      6.12.117+deb12-cloud-amd64 #1  Debian 6.12.117-1~deb12u1
Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE
RIP: 0010:kdk_read_user+0x13/0x30 [kdk_plant]
Code: cc 66 0f 1f 44 00 00 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 f3 0f 1e fa 0f 1f 44 00 00 e8 82 ff ff ff 48 85 c0 74 0f <48> 8b 30 48 c7 c7 06 78 26 c0 e9 9e b9 cf f7 c3 cc cc cc cc 66 0f
RSP: 0018:ffffcf5e4043bb18 EFLAGS: 00000206
CR2: 00007f6bf8b9f000 CR3: 000000000214a000 CR4: 00000000003006f0
Call Trace:
 <TASK>
 plant_set+0x39/0x70 [kdk_plant]
 param_attr_store+0x98/0xf0
 module_attr_store+0x21/0x40
 kernfs_fop_write_iter+0x12f/0x210
 vfs_write+0x28f/0x450
 ksys_write+0x6f/0xf0
 do_syscall_64+0x87/0x180
 ? next_uptodate_folio+0x85/0x2a0
 ? filemap_map_pages+0x556/0x680
 ? do_fault+0x281/0x4d0
 ? __handle_mm_fault+0x6e8/0xfa0
 ? __count_memcg_events+0x53/0xf0
 ? count_memcg_events.constprop.0+0x1a/0x30
 ? handle_mm_fault+0xae/0x2d0
 ? do_user_addr_fault+0x379/0x6a0
 ? arch_exit_to_user_mode_prepare.constprop.0+0x16/0xa0
 entry_SYSCALL_64_after_hwframe+0x76/0x7e
RIP: 0033:0x47b7a0
Code: 40 00 48 c7 c2 e0 ff ff ff f7 d8 64 89 02 48 c7 c0 ff ff ff ff eb b7 0f 1f 00 80 3d e8 85 16 00 00 74 17 b8 01 00 00 00 0f 05 <48> 3d 00 f0 ff ff 77 58 c3 0f 1f 80 00 00 00 00 48 83 ec 28 48 89
RSP: 002b:00007ffd3e2571f8 EFLAGS: 00000202 ORIG_RAX: 0000000000000001
 </TASK>
Modules linked in: kdk_plant(OE)
CR2: 00007f6bf8b9f000
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Fatal exception)",
       "kdk_read_user", "entry_SYSCALL_64_after_hwframe", 1, 147, "sh"},

      {"gpf", "general protection fault",
       R"(traps: tool[99] general protection fault ip:4011a6 sp:7ffc3b0d4a10 error:0 in tool[401000+1000]
Oops: general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] PREEMPT SMP PTI
CPU: 3 UID: 1000 PID: 4711 Comm: Web Content Not tainted 6.12.117+deb12-amd64 #1
RIP: 0010:detach_if_pending+0x2e/0xb0
Call Trace:
 <TASK>
 __timer_delete_sync+0x60/0xb0
 </TASK>)",
       "detach_if_pending", "__timer_delete_sync", 3, 4711, "Web Content"},

      // The same of a program alone is nothing.
      {"no_panic", "",
       R"(traps: tool[99] general protection fault ip:4011a6 sp:7ffc3b0d4a10 error:0 in tool[401000+1000]
traps: tool[100] trap invalid opcode ip:4011a6 sp:7ffc3b0d4a10 error:0 in tool[401000+1000]
traps: tool[101] trap divide error ip:4011a6 sp:7ffc3b0d4a10 error:0 in tool[401000+1000])",
       "", ""},

      {"null_deref", "KASAN: null-ptr-deref in range",
       R"(Oops: general protection fault, probably for non-canonical address 0xdffffc0000000001: 0000 [#1] PREEMPT SMP KASAN NOPTI
KASAN: null-ptr-deref in range [0x0000000000000008-0x000000000000000f]
CPU: 0 UID: 0 PID: 12 Comm: kworker/0:1 Not tainted 6.12.0 #1
Kernel panic - not syncing: Fatal exception)",
       "", "", 0, 12, "kworker/0:1"},

      {"slab_corruption", "kernel BUG at mm/slub.c:553!",
       R"(------------[ cut here ]------------
kernel BUG at mm/slub.c:553!
Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
CPU: 0 UID: 0 PID: 9 Comm: kworker/0:0 Not tainted 6.12.117+deb12-cloud-amd64 #1
RIP: 0010:kfree+0x2a6/0x310
Call Trace:
 <TASK>
 process_one_work+0x17c/0x390
 ret_from_fork_asm+0x1a/0x30
 </TASK>
---[ end trace 0000000000000000 ]---)",
       "kfree", "ret_from_fork_asm", 0, 9, "kworker/0:0"},

      {"list_corruption", "list_del corruption",
       R"(list_del corruption, ffff888004b3a008->next is LIST_POISON1 (dead000000000100)
------------[ cut here ]------------
kernel BUG at lib/list_debug.c:56!
invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
CPU: 1 PID: 5 Comm: rm Not tainted 6.1.0-56-amd64 #1
RIP: 0010:__list_del_entry_valid.cold+0x4b/0x6f
Kernel panic - not syncing: Fatal exception)",
       "", "", 1, 5, "rm"},

      {"invalid_op", "invalid opcode: 0000",
       R"(invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
RIP: 0010:0xffffffffc0a3b000
Kernel panic - not syncing: Fatal exception)",
       "", ""},

      {"divide", "divide error: 0000",
       R"(Oops: divide error: 0000 [#1] PREEMPT SMP NOPTI
CPU: 1 UID: 0 PID: 77 Comm: cat Not tainted 6.12.117+deb12-cloud-amd64 #1
Kernel panic - not syncing: Fatal exception)",
       "", "", 1, 77, "cat"},

      {"double_fault", "double fault: 0000",
       R"(traps: PANIC: double fault, error_code: 0x0
Oops: double fault: 0000 [#1] PREEMPT SMP NOPTI
CPU: 1 UID: 0 PID: 77 Comm: cat Not tainted 6.12.117+deb12-cloud-amd64 #1
RIP: 0010:recurse+0x5/0x20 [faulty]
Call Trace:
 <#DF>
 </#DF>
 <TASK>
 recurse+0x15/0x20 [faulty]
 </TASK>
Kernel panic - not syncing: Fatal exception in interrupt)",
       "recurse", "recurse", 1, 77, "cat", true},

      {"stack_overflow", "stack guard page was hit",
       R"(BUG: TASK stack guard page was hit at 000000006f1d9a4b (stack is 00000000e7d2c3a1..00000000c3a1e7d2)
Oops: stack guard page: 0000 [#1] PREEMPT SMP NOPTI
CPU: 0 UID: 0 PID: 321 Comm: insmod Not tainted 6.12.117+deb12-cloud-amd64 #1
RIP: 0010:recurse+0x9/0x40 [faulty]
Call Trace:
 <#DF>
 ? exc_double_fault+0x12a/0x150
 </#DF>
 <TASK>
 recurse+0x2a/0x40 [faulty]
 init_faulty+0x10/0xff0 [faulty]
 </TASK>
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Fatal exception in interrupt)",
       "recurse", "init_faulty", 0, 321, "insmod", true},

      {"stack_overflow", "corrupted stack end detected",
       R"(Kernel panic - not syncing: corrupted stack end detected inside scheduler
CPU: 0 UID: 0 PID: 321 Comm: insmod Not tainted 6.12.117+deb12-cloud-amd64 #1)",
       "", "", 0, 321, "insmod"},

      {"cfi", "Missing ENDBR",
       R"(traps: Missing ENDBR: some_function+0x4/0x20
------------[ cut here ]------------
kernel BUG at arch/x86/kernel/cet.c:102!
Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
Kernel panic - not syncing: Fatal exception)",
       "", ""},

      {"bad_paging", "Bad pagetable",
       R"(tool: Corrupted page table at address 7f1d8a6d1240
PGD 80000000011a2067 P4D 80000000011a2067 PUD 11a3067 PMD 11a4067 PTE 8fffffff00000025
Bad pagetable: 000d [#1] PREEMPT SMP PTI
Kernel panic - not syncing: Fatal exception)",
       "", ""},

      {"soft_lockup", "softlockup: hung tasks",
       R"(watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [spinner:204]
CPU: 1 UID: 0 PID: 204 Comm: spinner Not tainted 6.12.117+deb12-cloud-amd64 #1
RIP: 0010:spin_forever+0x5/0x10 [faulty]
Call Trace:
 <IRQ>
 ? watchdog_timer_fn+0x1dd/0x260
 </IRQ>
 <TASK>
 asm_sysvec_apic_timer_interrupt+0x1a/0x20
RIP: 0010:spin_forever+0x5/0x10 [faulty]
Code: 90 90 90
 kthread+0xe6/0x110
 </TASK>
Kernel panic - not syncing: softlockup: hung tasks
CPU: 1 UID: 0 PID: 204 Comm: spinner Tainted: G             L     6.12.117+deb12-cloud-amd64 #1
Tainted: [L]=SOFTLOCKUP
Call Trace:
 <IRQ>
 panic+0x344/0x3a0
 watchdog_timer_fn.cold+0x3d/0x3d
 asm_sysvec_apic_timer_interrupt+0x1a/0x20
RIP: 0010:spin_forever+0x5/0x10 [faulty]
Code: 90 90 90
 kthread+0xe6/0x110
 ret_from_fork_asm+0x1a/0x30
 </TASK>)",
       "panic", "ret_from_fork_asm", 1, 204, "spinner"},

      {"hard_lockup", "Hard LOCKUP",
       R"(watchdog: Watchdog detected hard LOCKUP on cpu 0
CPU: 0 UID: 0 PID: 204 Comm: spinner Not tainted 6.12.117+deb12-amd64 #1
Kernel panic - not syncing: Hard LOCKUP
CPU: 0 UID: 0 PID: 204 Comm: spinner Not tainted 6.12.117+deb12-amd64 #1
Call Trace:
 <NMI>
 dump_stack_lvl+0x5d/0x80
 panic+0x156/0x32a
 nmi_panic.cold+0xc/0xc
 watchdog_hardlockup_check.cold+0xc6/0xe8
 __perf_event_overflow+0x102/0x1c0
 default_do_nmi+0x40/0x130
 exc_nmi+0x122/0x1a0
 end_repeat_nmi+0xf/0x53
RIP: 0010:spin_forever+0x5/0x10 [faulty]
Code: 90 90 90
RSP: 0018:ffffb0f2c0a7fe98 EFLAGS: 00000002
 </NMI>
 <TASK>
 kthread+0xe6/0x110
 </TASK>)",
       "dump_stack_lvl", "kthread", 0, 204, "spinner"},

      {"watchdog_nmi", "NMI: Not continuing",
       R"(Uhhuh. NMI received for unknown reason 20 on CPU 0.
Kernel panic - not syncing: NMI: Not continuing
CPU: 0 UID: 0 PID: 0 Comm: swapper/0 Not tainted 6.12.117+deb12-cloud-amd64 #1)",
       "", "", 0, 0, "swapper/0"},

      {"mce", "Fatal machine check",
       R"(mce: [Hardware Error]: CPU 2: Machine Check Exception: 5 Bank 0: be00000000800400
mce: [Hardware Error]: RIP !INEXACT! 10:<ffffffff8102a6f1> {mwait_idle_with_hints.constprop.0+0x41/0x90}
mce: [Hardware Error]: Machine check: Processor context corrupt
Kernel panic - not syncing: Fatal machine check
Kernel Offset: 0x2a000000 from 0xffffffff81000000)",
       "", ""},

      {"mce", "broadcast exception handler",
       R"(mce: CPUs not responding to MCE broadcast (may include false positives): 1
Kernel panic - not syncing: Timeout: Not all CPUs entered broadcast exception handler)",
       "", ""},

      // Kernels before v4.10 print each address twice.
      {"null_deref", "unable to handle kernel NULL pointer dereference",
       R"(BUG: unable to handle kernel NULL pointer dereference at           (null)
IP: [<ffffffff8142e7b6>] sysrq_handle_crash+0x16/0x20
Oops: 0002 [#1] SMP
CPU: 0 PID: 1420 Comm: bash Not tainted 4.9.0-19-amd64 #1 Debian 4.9.320-2
RIP: 0010:[<ffffffff8142e7b6>]  [<ffffffff8142e7b6>] sysrq_handle_crash+0x16/0x20
Call Trace:
 [<ffffffff8142eeea>] ? __handle_sysrq+0xea/0x140
 [<ffffffff8142f34f>] ? write_sysrq_trigger+0x2f/0x40
 [<ffffffff8127b0b0>] ? proc_reg_write+0x40/0x70
 [<ffffffff8120c2a3>] vfs_write+0xb3/0x1a0
 [<ffffffff8161f8b7>] entry_SYSCALL_64_fastpath+0x16/0x1b
Code: 0f 1f 44 00 00 c7 05 00 00 00 00 01 00 00 00 <c6> 04 25 00 00 00 00 01)",
       "sysrq_handle_crash", "entry_SYSCALL_64_fastpath", 0, 1420, "bash"},
  };
}

}  // namespace kdk::test

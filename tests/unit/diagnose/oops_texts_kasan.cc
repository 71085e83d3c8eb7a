// What generic KASAN wrote in LKDTM's failures, on a Linux 6.12.117 for arm64 that was built for that. Left
// out: pages, the memory around, and the middle of the system call in each trace.
#include "tests/unit/diagnose/oops_texts.h"

namespace kdk::test {

std::vector<OopsText> oops_texts_kasan() {
  return {
      {"kasan", "BUG: KASAN: slab-out-of-bounds in lkdtm_SLAB_LINEAR_OVERFLOW",
       R"(BUG: KASAN: slab-out-of-bounds in lkdtm_SLAB_LINEAR_OVERFLOW+0x4c/0x6c
Write of size 4 at addr ffff00000160ec00 by task sh/41

CPU: 0 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x70/0x84
 print_report+0xf8/0x5a0
 kasan_report+0xa8/0xdc
 __asan_store4+0x90/0xb0
 lkdtm_SLAB_LINEAR_OVERFLOW+0x4c/0x6c
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150

Allocated by task 41:
 kasan_save_stack+0x38/0x5c
 kasan_save_track+0x1c/0x34
 kasan_save_alloc_info+0x3c/0x4c
 __kasan_kmalloc+0xac/0xb0
 __kmalloc_cache_noprof+0x128/0x200
 lkdtm_SLAB_LINEAR_OVERFLOW+0x28/0x6c
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150

The buggy address belongs to the object at ffff00000160e800
 which belongs to the cache kmalloc-1k of size 1024
The buggy address is located 4 bytes to the right of
 allocated 1020-byte region [ffff00000160e800, ffff00000160ebfc)

Kernel panic - not syncing: KASAN: panic_on_warn set ...
CPU: 0 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x34/0x84
 dump_stack+0x18/0x20
 panic+0x3e4/0x44c
 check_panic_on_warn+0x88/0xa4
 end_report.constprop.0+0x88/0xa4
 kasan_report+0xb4/0xdc
 __asan_store4+0x90/0xb0
 lkdtm_SLAB_LINEAR_OVERFLOW+0x4c/0x6c
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150
SMP: stopping secondary CPUs)",
       "dump_backtrace", "el0t_64_sync", 0, 41, "sh"},

      {"kasan", "BUG: KASAN: slab-use-after-free in lkdtm_READ_AFTER_FREE",
       R"(BUG: KASAN: slab-use-after-free in lkdtm_READ_AFTER_FREE+0xac/0x18c
Read of size 4 at addr ffff000001448810 by task sh/41

CPU: 1 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x70/0x84
 print_report+0xf8/0x5a0
 kasan_report+0xa8/0xdc
 __asan_load4+0x90/0xb0
 lkdtm_READ_AFTER_FREE+0xac/0x18c
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150

Allocated by task 41:
 kasan_save_stack+0x38/0x5c
 kasan_save_track+0x1c/0x34
 kasan_save_alloc_info+0x3c/0x4c
 __kasan_kmalloc+0xac/0xb0
 __kmalloc_cache_noprof+0x128/0x200
 lkdtm_READ_AFTER_FREE+0x34/0x18c
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150

Freed by task 41:
 kasan_save_stack+0x38/0x5c
 kasan_save_track+0x1c/0x34
 kasan_save_free_info+0x48/0x88
 __kasan_slab_free+0x4c/0x64
 kfree+0xa0/0x2b8
 lkdtm_READ_AFTER_FREE+0x9c/0x18c
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150

The buggy address belongs to the object at ffff000001448800
 which belongs to the cache kmalloc-1k of size 1024
The buggy address is located 16 bytes inside of
 freed 1024-byte region [ffff000001448800, ffff000001448c00)

Kernel panic - not syncing: KASAN: panic_on_warn set ...
CPU: 1 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x34/0x84
 dump_stack+0x18/0x20
 panic+0x3e4/0x44c
 check_panic_on_warn+0x88/0xa4
 end_report.constprop.0+0x88/0xa4
 kasan_report+0xb4/0xdc
 __asan_load4+0x90/0xb0
 lkdtm_READ_AFTER_FREE+0xac/0x18c
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150
SMP: stopping secondary CPUs)",
       "dump_backtrace", "el0t_64_sync", 1, 41, "sh"},

      {"kasan", "BUG: KASAN: use-after-free in lkdtm_READ_BUDDY_AFTER_FREE",
       R"(BUG: KASAN: use-after-free in lkdtm_READ_BUDDY_AFTER_FREE+0x98/0x180
Read of size 4 at addr ffff000001b34000 by task sh/41

CPU: 0 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x70/0x84
 print_report+0xf8/0x5a0
 kasan_report+0xa8/0xdc
 __asan_load4+0x90/0xb0
 lkdtm_READ_BUDDY_AFTER_FREE+0x98/0x180
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150

Kernel panic - not syncing: KASAN: panic_on_warn set ...
CPU: 0 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x34/0x84
 dump_stack+0x18/0x20
 panic+0x3e4/0x44c
 check_panic_on_warn+0x88/0xa4
 end_report.constprop.0+0x88/0xa4
 kasan_report+0xb4/0xdc
 __asan_load4+0x90/0xb0
 lkdtm_READ_BUDDY_AFTER_FREE+0x98/0x180
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150
SMP: stopping secondary CPUs)",
       "dump_backtrace", "el0t_64_sync", 0, 41, "sh"},

      {"double_free", "BUG: KASAN: double-free in lkdtm_SLAB_FREE_DOUBLE",
       R"(BUG: KASAN: double-free in lkdtm_SLAB_FREE_DOUBLE+0x60/0x80
Free of addr ffff000001b3e000 by task sh/41

CPU: 1 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x70/0x84
 print_report+0xf8/0x5a0
 kasan_report_invalid_free+0x94/0xb0
 check_slab_allocation+0xd0/0xfc
 __kasan_slab_pre_free+0xc/0x14
 kmem_cache_free+0x9c/0x374
 lkdtm_SLAB_FREE_DOUBLE+0x60/0x80
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150

Allocated by task 41:
 kasan_save_stack+0x38/0x5c
 kasan_save_track+0x1c/0x34
 kasan_save_alloc_info+0x3c/0x4c
 __kasan_slab_alloc+0x80/0x84
 kmem_cache_alloc_noprof+0xf8/0x1e0
 lkdtm_SLAB_FREE_DOUBLE+0x20/0x80
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150

Freed by task 41:
 kasan_save_stack+0x38/0x5c
 kasan_save_track+0x1c/0x34
 kasan_save_free_info+0x48/0x88
 __kasan_slab_free+0x4c/0x64
 kmem_cache_free+0xb8/0x374
 lkdtm_SLAB_FREE_DOUBLE+0x54/0x80
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150

The buggy address belongs to the object at ffff000001b3e000
 which belongs to the cache lkdtm-heap-double_free of size 64
The buggy address is located 0 bytes inside of
 64-byte region [ffff000001b3e000, ffff000001b3e040)

Kernel panic - not syncing: KASAN: panic_on_warn set ...
CPU: 1 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x34/0x84
 dump_stack+0x18/0x20
 panic+0x3e4/0x44c
 check_panic_on_warn+0x88/0xa4
 end_report.constprop.0+0x88/0xa4
 kasan_report_invalid_free+0xa0/0xb0
 check_slab_allocation+0xd0/0xfc
 __kasan_slab_pre_free+0xc/0x14
 kmem_cache_free+0x9c/0x374
 lkdtm_SLAB_FREE_DOUBLE+0x60/0x80
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150
SMP: stopping secondary CPUs)",
       "dump_backtrace", "el0t_64_sync", 1, 41, "sh"},

      {"kasan", "BUG: KASAN: vmalloc-out-of-bounds in lkdtm_VMALLOC_LINEAR_OVERFLOW",
       R"(BUG: KASAN: vmalloc-out-of-bounds in lkdtm_VMALLOC_LINEAR_OVERFLOW+0x50/0x6c
Write of size 4097 at addr ffff800080037000 by task sh/41

CPU: 0 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x70/0x84
 print_report+0x310/0x5a0
 kasan_report+0xa8/0xdc
 kasan_check_range+0xe4/0x188
 memset+0x30/0x6c
 lkdtm_VMALLOC_LINEAR_OVERFLOW+0x50/0x6c
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150

The buggy address belongs to a 1-page vmalloc region starting at 0xffff800080037000 allocated at lkdtm_VMALLOC_LINEAR_OVERFLOW+0x14/0x6c

Kernel panic - not syncing: KASAN: panic_on_warn set ...
CPU: 0 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x34/0x84
 dump_stack+0x18/0x20
 panic+0x3e4/0x44c
 check_panic_on_warn+0x88/0xa4
 end_report.constprop.0+0x88/0xa4
 kasan_report+0xb4/0xdc
 kasan_check_range+0xe4/0x188
 memset+0x30/0x6c
 lkdtm_VMALLOC_LINEAR_OVERFLOW+0x50/0x6c
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150
SMP: stopping secondary CPUs)",
       "dump_backtrace", "el0t_64_sync", 0, 41, "sh"},

      {"null_deref", "BUG: KASAN: null-ptr-deref in lkdtm_ACCESS_NULL",
       R"(BUG: KASAN: null-ptr-deref in lkdtm_ACCESS_NULL+0x30/0x78
Read of size 8 at addr 0000000000000000 by task sh/41

CPU: 1 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x70/0x84
 print_report+0x2f0/0x5a0
 kasan_report+0xa8/0xdc
 __asan_load8+0x60/0xb0
 lkdtm_ACCESS_NULL+0x30/0x78
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150
Kernel panic - not syncing: KASAN: panic_on_warn set ...
CPU: 1 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x34/0x84
 dump_stack+0x18/0x20
 panic+0x3e4/0x44c
 check_panic_on_warn+0x88/0xa4
 end_report.constprop.0+0x88/0xa4
 kasan_report+0xb4/0xdc
 __asan_load8+0x60/0xb0
 lkdtm_ACCESS_NULL+0x30/0x78
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150
SMP: stopping secondary CPUs)",
       "dump_backtrace", "el0t_64_sync", 1, 41, "sh"},

      {"bad_paging", "BUG: KASAN: user-memory-access in lkdtm_ACCESS_USERSPACE",
       R"(BUG: KASAN: user-memory-access in lkdtm_ACCESS_USERSPACE+0xd0/0x198
Read of size 8 at addr 0000ffffaccdd000 by task sh/41

CPU: 1 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x70/0x84
 print_report+0x2f0/0x5a0
 kasan_report+0xa8/0xdc
 __asan_load8+0x60/0xb0
 lkdtm_ACCESS_USERSPACE+0xd0/0x198
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150
Kernel panic - not syncing: KASAN: panic_on_warn set ...
CPU: 1 UID: 0 PID: 41 Comm: sh Not tainted 6.12.117 #1
Call trace:
 dump_backtrace+0xa0/0xdc
 show_stack+0x14/0x1c
 dump_stack_lvl+0x34/0x84
 dump_stack+0x18/0x20
 panic+0x3e4/0x44c
 check_panic_on_warn+0x88/0xa4
 end_report.constprop.0+0x88/0xa4
 kasan_report+0xb4/0xdc
 __asan_load8+0x60/0xb0
 lkdtm_ACCESS_USERSPACE+0xd0/0x198
 lkdtm_do_action+0x28/0x4c
 direct_entry+0xc0/0x148
 el0t_64_sync_handler+0xc0/0xd4
 el0t_64_sync+0x14c/0x150
SMP: stopping secondary CPUs)",
       "dump_backtrace", "el0t_64_sync", 1, 41, "sh"},
  };
}

}  // namespace kdk::test

// SPDX-License-Identifier: GPL-2.0
// Crashes the kernel it is loaded into, in a chosen way and context, for real:
//   echo "CONTEXT FAILURE" > /sys/module/kdk_crash/parameters/crash
// CONTEXT: task     in the writer itself
//          softirq  in a timer, while the writer spins below
//          hardirq  in a high resolution timer's interrupt, while the writer spins below
//          nmi      the writer spins and asks for an NMI on the console; needs kernel.unknown_nmi_panic, and no FAILURE
// FAILURE: null     a member of a structure behind a null pointer is read, in an inlined function
//          bug      BUG()
//          panic    panic()
//          overflow the stack is used up
// It happens on the CPU that the writer is bound to. Nothing there returns.
//   echo ADDRESS > /sys/module/kdk_crash/parameters/flip
// changes one bit at a physical address, also where the kernel protects its crash kernel from itself.
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/vmalloc.h>

struct kdk_queue {
  unsigned long reserved[5];
  unsigned long entries;  // at offset 40: the address of the fault
};

struct kdk_device {
  const char* name;
  struct kdk_queue* queue;
};

static struct kdk_device device = {.name = "kdk-test-device"};  // its queue is missing
static void (*failure)(void);
static struct timer_list softirq_timer;
static struct hrtimer hardirq_timer;

// Always inlined: a trace must name it although it has no frame.
static __always_inline unsigned long kdk_queue_length(const struct kdk_queue* queue) {
  return READ_ONCE(queue->entries);
}

static noinline void kdk_fail_null(void) {
  pr_info("%s has %lu entries\n", device.name, kdk_queue_length(READ_ONCE(device.queue)));
}

static noinline void kdk_fail_bug(void) {
  BUG();
}

static noinline void kdk_fail_panic(void) {
  panic("kdk_crash: asked to panic");
}

static noinline unsigned long kdk_recurse(unsigned long depth) {
  volatile unsigned long frame[64];
  frame[depth % 64] = depth;
  // The sum makes this no tail call, so that every round keeps its frame.
  return depth == 0 ? 0 : kdk_recurse(depth - 1) + frame[depth % 64];
}

static noinline void kdk_fail_overflow(void) {
  pr_info("recursed: %lu\n", kdk_recurse(1000000));
}

static void kdk_softirq(struct timer_list* unused) {
  failure();
}

static enum hrtimer_restart kdk_hardirq(struct hrtimer* unused) {
  failure();
  return HRTIMER_NORESTART;
}

// The interrupted code, for the interrupt contexts: a second of it.
static noinline void kdk_spin(void) {
  unsigned long end = jiffies + HZ;
  while (time_before(jiffies, end)) cpu_relax();
}

static int crash_set(const char* text, const struct kernel_param* unused) {
  static const struct {
    const char* name;
    void (*function)(void);
  } failures[] = {
      {"null", kdk_fail_null}, {"bug", kdk_fail_bug}, {"panic", kdk_fail_panic}, {"overflow", kdk_fail_overflow}};
  char context[16], name[16];
  size_t i;

  if (sysfs_streq(text, "nmi")) {
    pr_info("host: nmi\n");
    for (;;) kdk_spin();
  }
  if (sscanf(text, "%15s %15s", context, name) != 2) return -EINVAL;
  for (i = 0; i < ARRAY_SIZE(failures); ++i)
    if (!strcmp(name, failures[i].name)) failure = failures[i].function;
  if (!failure) return -EINVAL;

  if (!strcmp(context, "task")) {
    failure();
  } else if (!strcmp(context, "softirq")) {
    timer_setup(&softirq_timer, kdk_softirq, TIMER_PINNED);
    // While ksoftirqd has something to do, timers of Linux before v6.4 wait for it, and it for us to give way (kernel/
    // softirq.c, invoke_softirq). Then the timer must not run in ksoftirqd, but in another try.
    for (;;) {
      mod_timer(&softirq_timer, jiffies + 1);
      kdk_spin();
      del_timer(&softirq_timer);
      msleep(20);
    }
  } else if (!strcmp(context, "hardirq")) {
    hrtimer_init(&hardirq_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
    hardirq_timer.function = kdk_hardirq;
    hrtimer_start(&hardirq_timer, ms_to_ktime(5), HRTIMER_MODE_REL_PINNED_HARD);
    for (;;) kdk_spin();
  }
  return -EINVAL;
}

static const struct kernel_param_ops crash_ops = {.set = crash_set};
module_param_cb(crash, &crash_ops, NULL, 0200);
MODULE_PARM_DESC(crash, "CONTEXT FAILURE: task|softirq|hardirq null|bug|panic|overflow, or nmi");

// A mapping of its own: the linear map of the crash region is taken away on arm64 and read-only on x86-64.
static int flip_set(const char* text, const struct kernel_param* unused) {
  struct page* page;
  u64 address;
  u8* map;
  int error = kstrtou64(text, 0, &address);

  if (error) return error;
  if (!pfn_valid(PHYS_PFN(address))) return -EINVAL;
  page = pfn_to_page(PHYS_PFN(address));
  map = vmap(&page, 1, VM_MAP, PAGE_KERNEL);
  if (!map) return -ENOMEM;
  map[offset_in_page(address)] ^= 1;
  vunmap(map);
  return 0;
}

static const struct kernel_param_ops flip_ops = {.set = flip_set};
module_param_cb(flip, &flip_ops, NULL, 0200);
MODULE_PARM_DESC(flip, "physical address of a byte to change");

// Nothing to set up; loaded, it can be unloaded again.
static int __init kdk_crash_init(void) {
  return 0;
}
static void __exit kdk_crash_exit(void) {}
module_init(kdk_crash_init);
module_exit(kdk_crash_exit);
MODULE_DESCRIPTION("Crashes the kernel, for tests");
MODULE_LICENSE("GPL");

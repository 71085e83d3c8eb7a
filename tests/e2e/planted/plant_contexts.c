// SPDX-License-Identifier: GPL-2.0
// The same fault in every context that kernel code runs in, and panics that are about more than one function.
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "plant.h"

// The code that is interrupted: a second of it.
static noinline void kdk_spin(void) {
  unsigned long end = jiffies + HZ;
  while (time_before(jiffies, end)) cpu_relax();
}

static void kdk_timer_function(struct timer_list* unused) {
  kdk_null_read();
}

// While ksoftirqd has something to do, timers before Linux v6.4 wait for it, and it for us to give way (kernel/softirq.c,
// invoke_softirq). Then the timer must not run in ksoftirqd, but in another try.
static noinline void kdk_softirq(void) {
  static struct timer_list timer;
  timer_setup(&timer, kdk_timer_function, TIMER_PINNED);
  for (;;) {
    mod_timer(&timer, jiffies + 1);
    kdk_spin();
    del_timer(&timer);
    msleep(20);
  }
}

static enum hrtimer_restart kdk_hrtimer_function(struct hrtimer* unused) {
  kdk_null_read();
  return HRTIMER_NORESTART;
}

static noinline void kdk_hardirq(void) {
  static struct hrtimer timer;
  hrtimer_init(&timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
  timer.function = kdk_hrtimer_function;
  hrtimer_start(&timer, ms_to_ktime(5), HRTIMER_MODE_REL_PINNED_HARD);
  for (;;) kdk_spin();
}

static void kdk_tasklet_function(struct tasklet_struct* unused) {
  kdk_null_read();
}

static noinline void kdk_tasklet(void) {
  static struct tasklet_struct tasklet;
  tasklet_setup(&tasklet, kdk_tasklet_function);
  tasklet_schedule(&tasklet);
  for (;;) msleep(100);
}

static void kdk_work_function(struct work_struct* unused) {
  kdk_null_read();
}

static noinline void kdk_work(void) {
  static struct work_struct work;
  INIT_WORK(&work, kdk_work_function);
  schedule_work(&work);
  for (;;) msleep(100);
}

static int kdk_thread_function(void* unused) {
  kdk_null_read();
  return 0;
}

static noinline void kdk_thread(void) {
  kthread_run(kdk_thread_function, NULL, "kdk-thread");
  for (;;) msleep(100);
}

static void kdk_rcu_function(struct rcu_head* unused) {
  kdk_null_read();
}

static noinline void kdk_rcu(void) {
  static struct rcu_head head;
  call_rcu(&head, kdk_rcu_function);
  for (;;) msleep(100);
}

static void kdk_call_function(void* unused) {
  kdk_null_read();
}

// On the other CPU, whatever runs there.
static noinline void kdk_other_cpu(void) {
  int other = cpumask_any_but(cpu_online_mask, get_cpu());
  put_cpu();
  smp_call_function_single(other, kdk_call_function, NULL, 1);
}

static noinline void kdk_atomic_sleep(void) {
  local_bh_disable();  // preempt_disable() counts nothing on a kernel without CONFIG_PREEMPT_COUNT
  msleep(100); /* plant: atomic_sleep */
  local_bh_enable();
}

// Takes memory until the kernel gives up; pages that no process answers for.
static noinline void kdk_out_of_memory(void) {
  while (alloc_pages(GFP_KERNEL, 0)) /* plant: out_of_memory */
    ;
}

const struct kdk_failure kdk_context_failures[] = {
    {"softirq", kdk_softirq},
    {"hardirq", kdk_hardirq},
    {"tasklet", kdk_tasklet},
    {"work", kdk_work},
    {"thread", kdk_thread},
    {"rcu_callback", kdk_rcu},
    {"other_cpu", kdk_other_cpu},
    {"atomic_sleep", kdk_atomic_sleep},
    {"out_of_memory", kdk_out_of_memory},
    {},
};

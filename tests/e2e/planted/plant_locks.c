// SPDX-License-Identifier: GPL-2.0
// Tasks and CPUs that do not get on: deadlocks, waits without end, loops. Which watchdog panics is set by who asks.
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "plant.h"

static DEFINE_MUTEX(kdk_mutex_a);
static DEFINE_MUTEX(kdk_mutex_b);
static DECLARE_RWSEM(kdk_rwsem);
static DEFINE_SPINLOCK(kdk_spinlock);
static DECLARE_COMPLETION(kdk_never);

// Two threads, each with the mutex that the other one wants.
static int kdk_abba_function(void* backwards) {
  struct mutex *first = backwards ? &kdk_mutex_b : &kdk_mutex_a, *second = backwards ? &kdk_mutex_a : &kdk_mutex_b;
  mutex_lock(first);
  msleep(200);
  mutex_lock(second); /* plant: abba */
  mutex_unlock(second);
  mutex_unlock(first);
  return 0;
}

static noinline void kdk_abba(void) {
  kthread_run(kdk_abba_function, NULL, "kdk-abba-a");
  kthread_run(kdk_abba_function, (void*)1, "kdk-abba-b");
}

static int kdk_holder_function(void* unused) {
  mutex_lock(&kdk_mutex_a);
  wait_for_completion(&kdk_never); /* plant: mutex_held */
  mutex_unlock(&kdk_mutex_a);
  return 0;
}

static int kdk_waiter_function(void* unused) {
  mutex_lock(&kdk_mutex_a); /* plant: mutex_wait */
  mutex_unlock(&kdk_mutex_a);
  return 0;
}

// A chain: two wait for a mutex, its owner for a completion that never comes.
static noinline void kdk_mutex_chain(void) {
  kthread_run(kdk_holder_function, NULL, "kdk-holder");
  msleep(200);
  kthread_run(kdk_waiter_function, NULL, "kdk-waiter-1");
  kthread_run(kdk_waiter_function, NULL, "kdk-waiter-2");
}

static int kdk_reader_function(void* unused) {
  down_read(&kdk_rwsem);
  wait_for_completion(&kdk_never);
  up_read(&kdk_rwsem);
  return 0;
}

static int kdk_writer_function(void* unused) {
  down_write(&kdk_rwsem); /* plant: rwsem_wait */
  up_write(&kdk_rwsem);
  return 0;
}

static noinline void kdk_rwsem_wait(void) {
  kthread_run(kdk_reader_function, NULL, "kdk-reader");
  msleep(200);
  kthread_run(kdk_writer_function, NULL, "kdk-writer");
}

static noinline void kdk_soft_lockup(void) {
  preempt_disable();
  for (;;) cpu_relax(); /* plant: soft_lockup */
}

static noinline void kdk_hard_lockup(void) {
  local_irq_disable();
  for (;;) cpu_relax(); /* plant: hard_lockup */
}

static noinline void kdk_spinlock_twice(void) {
  spin_lock(&kdk_spinlock);
  spin_lock(&kdk_spinlock); /* plant: spinlock_twice */
  spin_unlock(&kdk_spinlock);
}

struct kdk_pair {
  spinlock_t first, second;
};

// Two threads on two CPUs, each with the spinlock that the other one wants. The locks lie in an object, as most do.
static int kdk_spin_pair_function(void* data) {
  struct kdk_pair* pair = data;
  const bool backwards = smp_processor_id() != 0;
  spinlock_t *first = backwards ? &pair->second : &pair->first, *second = backwards ? &pair->first : &pair->second;
  spin_lock(first);
  mdelay(200);
  spin_lock(second); /* plant: spin_pair */
  spin_unlock(second);
  spin_unlock(first);
  return 0;
}

static noinline void kdk_spin_pair(void) {
  struct kdk_pair* pair = kzalloc(sizeof(*pair), GFP_KERNEL);
  unsigned cpu;
  spin_lock_init(&pair->first);
  spin_lock_init(&pair->second);
  for (cpu = 0; cpu < 2; ++cpu) {
    struct task_struct* thread = kthread_create(kdk_spin_pair_function, pair, "kdk-spin-%u", cpu);
    kthread_bind(thread, cpu);
    wake_up_process(thread);
  }
}

static void kdk_rcu_nothing(struct rcu_head* unused) {}

// A grace period that does not end has to begin, which on an idle machine nobody else asks for.
static noinline void kdk_rcu_stall(void) {
  static struct rcu_head head;
  call_rcu(&head, kdk_rcu_nothing);
  rcu_read_lock();
  for (;;) cpu_relax(); /* plant: rcu_stall */
}

static void kdk_busy_work_function(struct work_struct* unused) {
  preempt_disable();
  for (;;) cpu_relax(); /* plant: busy_work */
}

static void kdk_work_behind_function(struct work_struct* unused) {}

// And one that waits behind it: the kernel's own may come later than the crash.
static noinline void kdk_busy_work(void) {
  static struct work_struct work, behind;
  const int cpu = get_cpu();
  INIT_WORK(&work, kdk_busy_work_function);
  INIT_WORK(&behind, kdk_work_behind_function);
  schedule_work_on(cpu, &work);
  schedule_work_on(cpu, &behind);
  put_cpu();
}

const struct kdk_failure kdk_lock_failures[] = {
    {"abba", kdk_abba},
    {"mutex_chain", kdk_mutex_chain},
    {"rwsem_wait", kdk_rwsem_wait},
    {"soft_lockup", kdk_soft_lockup},
    {"hard_lockup", kdk_hard_lockup},
    {"spinlock_twice", kdk_spinlock_twice},
    {"spin_pair", kdk_spin_pair},
    {"rcu_stall", kdk_rcu_stall},
    {"busy_work", kdk_busy_work},
    {},
};

// SPDX-License-Identifier: GPL-2.0
// Kernel objects misused, and found out by the kernel's checks: lists, counters, slabs, pages. What Debian's kernels check; the slab
// cache "kdk_objects" has to be watched by slub_debug=FZP,kdk_objects on the command line.
#include <linux/kfence.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "plant.h"

struct kdk_request {
  struct list_head link;
  unsigned long number;
  char payload[80];
};

static LIST_HEAD(kdk_requests);
static struct kmem_cache* kdk_cache;

// None that KFENCE took to watch: it would find what slub_debug is to find, in words of its own. Inline, so that who asks for one is who
// is named.
static __always_inline struct kdk_request* kdk_object(void) {
  struct kdk_request* request;
  if (!kdk_cache) kdk_cache = kmem_cache_create("kdk_objects", sizeof(struct kdk_request), 0, 0, NULL);
  if (!kdk_cache) return NULL;
  do {
    request = kmem_cache_alloc(kdk_cache, GFP_KERNEL);
  } while (request && is_kfence_address(request));
  return request;
}

// Freed while it is on a list, and its memory used again; the next one that is added finds that.
static noinline void kdk_list_add_freed(void) {
  struct kdk_request *first = kmalloc(sizeof(*first), GFP_KERNEL), *second = kmalloc(sizeof(*second), GFP_KERNEL);
  if (!first || !second) return;
  list_add(&first->link, &kdk_requests);
  memset(first, 0x41, sizeof(*first));
  list_add(&second->link, &kdk_requests); /* plant: list_add_freed */
  barrier();
}

static noinline void kdk_list_del_twice(void) {
  struct kdk_request* request = kmalloc(sizeof(*request), GFP_KERNEL);
  if (!request) return;
  list_add(&request->link, &kdk_requests);
  list_del(&request->link);
  list_del(&request->link); /* plant: list_del_twice */
  barrier();
}

// Nobody has it any more, and somebody takes it.
static noinline void kdk_refcount_revived(void) {
  static refcount_t users = REFCOUNT_INIT(0);
  refcount_inc(&users); /* plant: refcount_revived */
  barrier();
}

// kfree() of the same object twice in a row: the free list's own check finds it (SLAB_FREELIST_HARDENED).
// Not one that KFENCE watches, which has words of its own for this, and nobody may take it between the two.
static noinline void kdk_double_free(void) {
  unsigned long flags;
  void* memory;
  do {
    memory = kmalloc(96, GFP_KERNEL);
  } while (memory && is_kfence_address(memory));
  local_irq_save(flags);
  kfree(memory);
  OPTIMIZER_HIDE_VAR(memory);
  kfree(memory); /* plant: double_free */
  local_irq_restore(flags);
}

static noinline void kdk_slab_double_free(void) {
  struct kdk_request* request = kdk_object();
  if (!request) return;
  kmem_cache_free(kdk_cache, request);
  OPTIMIZER_HIDE_VAR(request);
  kmem_cache_free(kdk_cache, request); /* plant: slab_double_free */
  barrier();
}

static noinline void kdk_slab_overrun(void) {
  struct kdk_request* request = kdk_object();
  char* payload;
  if (!request) return;
  payload = request->payload;
  OPTIMIZER_HIDE_VAR(payload);
  memset(payload, 0x41, sizeof(request->payload) + 8);
  kmem_cache_free(kdk_cache, request); /* plant: slab_overrun */
  barrier();
}

static noinline void kdk_slab_use_after_free(void) {
  struct kdk_request* request = kdk_object();
  int i;
  if (!request) return;
  kmem_cache_free(kdk_cache, request);
  WRITE_ONCE(request->number, 7);
  for (i = 0; i < 1000; ++i) kdk_object(); /* plant: slab_use_after_free */
}

// An access beyond an object that KFENCE watches: it takes one allocation in some milliseconds.
static noinline void kdk_kfence_overrun(void) {
#ifdef CONFIG_KFENCE
  char* memory;
  unsigned long end = jiffies + 30 * HZ;
  do {
    memory = kmalloc(32, GFP_KERNEL);
    if (memory && is_kfence_address(memory)) {
      OPTIMIZER_HIDE_VAR(memory);
      pr_info("%d\n", READ_ONCE(memory[PAGE_SIZE])); /* plant: kfence_overrun */
    }
    kfree(memory);
    cond_resched();
  } while (time_before(jiffies, end));
#endif
}

// More of an object than there is, to user space.
static noinline void kdk_usercopy(void) {
  char* memory = kmalloc(64, GFP_KERNEL);
  unsigned long size = 4096;
  if (!memory) return;
  OPTIMIZER_HIDE_VAR(memory);
  OPTIMIZER_HIDE_VAR(size);
  // The address does not matter: the kernel's side is checked first.
  if (copy_to_user((void __user*)0x10000, memory, size)) pr_info("not copied\n"); /* plant: usercopy */
  kfree(memory);
}

// A page is given back that somebody still holds.
static noinline void kdk_bad_page(void) {
  struct page* page = alloc_page(GFP_KERNEL);
  if (!page) return;
  page->mapping = (struct address_space*)0x41414140UL;  // its low bits would say that it is anonymous
  __free_page(page); /* plant: bad_page */
  barrier();
}

const struct kdk_failure kdk_object_failures[] = {
    {"list_add_freed", kdk_list_add_freed},
    {"list_del_twice", kdk_list_del_twice},
    {"refcount_revived", kdk_refcount_revived},
    {"double_free", kdk_double_free},
    {"slab_double_free", kdk_slab_double_free},
    {"slab_overrun", kdk_slab_overrun},
    {"slab_use_after_free", kdk_slab_use_after_free},
    {"kfence_overrun", kdk_kfence_overrun},
    {"usercopy", kdk_usercopy},
    {"bad_page", kdk_bad_page},
    {},
};

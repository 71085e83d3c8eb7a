// SPDX-License-Identifier: GPL-2.0
// Accesses and instructions that the processor refuses, and checks that code makes by itself.
#include <linux/bug.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "plant.h"

noinline void kdk_null_read(void) {
  pr_info("%s has %lu entries\n", kdk_device.name, kdk_queue_length(READ_ONCE(kdk_device.queue)));
}

static noinline void kdk_null_write(void) {
  WRITE_ONCE(READ_ONCE(kdk_device.queue)->entries, 1); /* plant: null_write */
  barrier();
}

static noinline void kdk_null_call(void) {
  READ_ONCE(kdk_device.reset)(&kdk_device); /* plant: null_call */
  pr_info("%s is reset\n", kdk_device.name);
}

static noinline void kdk_wild_call(void) {
  // Memory, but data.
  void (*function)(void) = (void (*)(void))(unsigned long)&kdk_device;
  OPTIMIZER_HIDE_VAR(function);
  function(); /* plant: wild_call */
  barrier();
}

#ifdef CONFIG_X86_64
static const u8 kdk_return[] = {0xc3};
#else
static const u32 kdk_return[] = {0xd65f03c0};
#endif

static noinline void kdk_exec_data(void) {
  void* buffer = kmemdup(kdk_return, sizeof(kdk_return), GFP_KERNEL);
  void (*function)(void) = (void (*)(void))buffer;
  if (!buffer) return;
  OPTIMIZER_HIDE_VAR(function);
  function(); /* plant: exec_data */
  barrier();
}

// A page of the calling process: readable, writable and executable, for the process.
static void __user* kdk_user_page(void) {
  unsigned long page =
      vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_ANONYMOUS | MAP_PRIVATE, 0);
  if (IS_ERR_VALUE(page) || copy_to_user((void __user*)page, kdk_return, sizeof(kdk_return))) return NULL;
  return (void __user*)page;
}

static noinline void kdk_exec_user(void) {
  void (*function)(void) = (void (*)(void))(unsigned long)kdk_user_page();
  if (!function) return;
  OPTIMIZER_HIDE_VAR(function);
  function(); /* plant: exec_user */
  barrier();
}

static noinline void kdk_read_user(void) {
  unsigned long* word = (unsigned long*)(unsigned long)kdk_user_page();
  if (!word) return;
  OPTIMIZER_HIDE_VAR(word);
  pr_info("%lu\n", READ_ONCE(*word)); /* plant: read_user */
}

// What a freed structure full of poison gives for a pointer.
static noinline void kdk_wild_read(void) {
  struct kdk_queue* queue = (struct kdk_queue*)0x6b6b6b6b6b6b6b6bUL;
  OPTIMIZER_HIDE_VAR(queue);
  pr_info("%lu\n", READ_ONCE(queue->entries)); /* plant: wild_read */
}

static noinline void kdk_unmapped_read(void) {
  char* area = vmalloc(2 * PAGE_SIZE);
  if (!area) return;
  vfree(area);
  pr_info("%d\n", READ_ONCE(area[PAGE_SIZE + 8])); /* plant: unmapped_read */
}

static const char kdk_constant[64] = "constant";

static noinline void kdk_constant_write(void) {
  char* text = (char*)kdk_constant;
  OPTIMIZER_HIDE_VAR(text);
  WRITE_ONCE(text[0], 'C'); /* plant: constant_write */
  barrier();
}

static noinline void kdk_bug(void) {
  BUG(); /* plant: bug */
}

static __always_inline void kdk_check_queue(const struct kdk_queue* queue) {
  BUG_ON(!queue); /* plant: bug_inline */
}

static noinline void kdk_bug_inline(void) {
  kdk_check_queue(READ_ONCE(kdk_device.queue));
  barrier();
}

static noinline void kdk_warn(void) {
  WARN(1, "%s is in state %d\n", kdk_device.name, 7); /* plant: warn */
  barrier();
}

static noinline void kdk_panic(void) {
  panic("kdk_plant: %s does not answer", kdk_device.name); /* plant: panic */
}

static noinline void kdk_undefined_instruction(void) {
#ifdef CONFIG_X86_64
  asm volatile(".byte 0x0f, 0xff"); /* ud0; ud1 and ud2 mean BUG and more */
#else
  asm volatile(".inst 0x00000000"); /* udf #0 */
#endif
  barrier();
}

#ifdef CONFIG_X86_64
static noinline void kdk_divide(void) {
  unsigned long zero = 0, seven = 7;
  OPTIMIZER_HIDE_VAR(zero);
  asm volatile("xor %%edx, %%edx\n\tdiv %1" : "+a"(seven) : "r"(zero) : "rdx"); /* plant: divide */
}
#endif

static noinline unsigned long kdk_recurse(unsigned long depth) {
  volatile unsigned long frame[64];
  frame[depth % 64] = depth;
  // The sum makes this no tail call, so that every round keeps its frame.
  return depth == 0 ? 0 : kdk_recurse(depth - 1) + frame[depth % 64];
}

static noinline void kdk_stack_overflow(void) {
  pr_info("recursed: %lu\n", kdk_recurse(1000000));
}

// Runs over the end of an array on the stack, over the canary, but not over more than that of the caller.
static noinline void kdk_stack_smash(void) {
  char name[16];
  char* end = name;
  OPTIMIZER_HIDE_VAR(end);
  memset(end, 0xa5, 32);
  OPTIMIZER_HIDE_VAR(end);
}

const struct kdk_failure kdk_memory_failures[] = {
    {"null_read", kdk_null_read},
    {"null_write", kdk_null_write},
    {"null_call", kdk_null_call},
    {"wild_call", kdk_wild_call},
    {"exec_data", kdk_exec_data},
    {"exec_user", kdk_exec_user},
    {"read_user", kdk_read_user},
    {"wild_read", kdk_wild_read},
    {"unmapped_read", kdk_unmapped_read},
    {"constant_write", kdk_constant_write},
    {"bug", kdk_bug},
    {"bug_inline", kdk_bug_inline},
    {"warn", kdk_warn},
    {"panic", kdk_panic},
    {"undefined_instruction", kdk_undefined_instruction},
#ifdef CONFIG_X86_64
    {"divide", kdk_divide},
#endif
    {"stack_overflow", kdk_stack_overflow},
    {"stack_smash", kdk_stack_smash},
    {},
};

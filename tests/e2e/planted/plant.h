/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of kdk_plant share. A failure is a function; its name is what is asked for. The comment "plant: NAME" marks the line
 * that a report must name (test_planted.py looks for it). */
#ifndef KDK_PLANT_H
#define KDK_PLANT_H

#include <linux/kernel.h>
#include <linux/module.h>

struct kdk_failure {
  const char* name;
  void (*function)(void);
};

/* Each ends with an entry without a name. */
extern const struct kdk_failure kdk_memory_failures[], kdk_object_failures[], kdk_context_failures[], kdk_lock_failures[];

struct kdk_queue {
  unsigned long reserved[5];
  unsigned long entries; /* at offset 40 */
};

struct kdk_device {
  const char* name;
  struct kdk_queue* queue;
  void (*reset)(struct kdk_device*);
};

extern struct kdk_device kdk_device; /* has neither queue nor reset function */

/* Always inlined: a trace must name it although it has no frame. */
static __always_inline unsigned long kdk_queue_length(const struct kdk_queue* queue) {
  return READ_ONCE(queue->entries); /* plant: inlined */
}

/* Reads a member behind a null pointer. */
void kdk_null_read(void);

#endif

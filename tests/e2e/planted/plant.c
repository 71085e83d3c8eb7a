// SPDX-License-Identifier: GPL-2.0
// Breaks the kernel it is loaded into, in one of some forty ways, for real:
//   echo NAME > /sys/module/kdk_plant/parameters/plant
// The names are in the tables at the ends of the other files. Of most, nothing returns.
#include <linux/string.h>

#include "plant.h"

struct kdk_device kdk_device = {.name = "kdk-test-device"};

static int plant_set(const char* text, const struct kernel_param* unused) {
  static const struct kdk_failure* const tables[] = {kdk_memory_failures, kdk_object_failures, kdk_context_failures,
                                                     kdk_lock_failures};
  const struct kdk_failure* failure;
  size_t i;

  for (i = 0; i < ARRAY_SIZE(tables); ++i) {
    for (failure = tables[i]; failure->name; ++failure) {
      if (!sysfs_streq(text, failure->name)) continue;
      failure->function();
      return 0;
    }
  }
  return -EINVAL;
}

static const struct kernel_param_ops plant_ops = {.set = plant_set};
module_param_cb(plant, &plant_ops, NULL, 0200);
MODULE_PARM_DESC(plant, "name of a failure");

static int __init kdk_plant_init(void) {
  return 0;
}
static void __exit kdk_plant_exit(void) {}
module_init(kdk_plant_init);
module_exit(kdk_plant_exit);
MODULE_DESCRIPTION("Breaks the kernel in many ways, for tests");
MODULE_LICENSE("GPL");

/* Compiled with debug information by the test's build: functions inlined into each other at known lines. */
volatile int sink;

static inline __attribute__((always_inline)) void innermost(int value) {
  sink = value; /* line 5 */
}

static inline __attribute__((always_inline)) void middle(int value) {
  innermost(value + 1); /* line 9 */
}

__attribute__((noinline)) int outer(int value) {
  middle(value); /* line 13 */
  return sink;
}

__attribute__((noinline)) int plain(void) {
  return 42; /* line 18 */
}

int main(int argc, char** argv) {
  (void)argv;
  return outer(argc) + plain();
}

/* Compiled with optimisation: what the pointers of look() point to is nowhere in memory, and neither are they. */
struct pair {
  int first;
  long second;
};

static inline __attribute__((always_inline)) long look(const struct pair* whole, const long* member,
                                                       const int* number, const int* const* twice,
                                                       const void* untyped, const struct pair* half) {
  __asm__ volatile("nop" ::: "memory"); /* where the test looks */
  return whole->first + *member + *number + **twice + *(const int*)untyped + half->first;
}

__attribute__((noinline)) long inspect(long seed, int other) {
  struct pair pair = {7, seed};
  struct pair half;
  int number = 42;
  const int* to = &number;
  half.first = other * 3;
  __asm__ volatile("nop" ::: "memory");
  return look(&pair, &pair.second, &number, &to, &number, &half);
}

int main(int argc, char** argv) {
  (void)argv;
  return (int)inspect(argc, argc);
}

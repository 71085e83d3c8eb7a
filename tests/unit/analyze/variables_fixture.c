/* Compiled without optimisation: every variable is on the stack, at places that only its debug information tells. */
enum colour { red, green = 5, blue = -2 };
struct point {
  int x;
  unsigned char flags : 3;
  signed char low : 4;
  const char* name;
  struct {
    short deep;
  } inner;
};
typedef unsigned long size_type;
typedef int (*handler)(void);

long inspect(struct point* where, size_type count, enum colour shade, char letter, const handler call) {
  volatile struct point copy = *where;
  char text[12] = "";
  int numbers[3] = {0};
  _Bool flag = 0;
  long long negative = 0;
  unsigned long mask = 0;
  {
    short block = 1;
    text[0] = (char)(count + block + letter + (call != 0)); /* line 24: where the test looks */
  }
  return copy.x + numbers[0] + flag + negative + (long)mask + shade + text[0];
}

int main(int argc, char** argv) {
  struct point place = {argc, 1, 1, argv[0], {2}};
  return (int)inspect(&place, 1, green, 'c', 0);
}

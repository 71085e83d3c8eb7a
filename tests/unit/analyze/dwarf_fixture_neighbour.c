/* Compiled beside dwarf_fixture.c and linked after it: a unit that is not the first of its file. */
int neighbour(int value) {
  return value * 3; /* line 3 */
}

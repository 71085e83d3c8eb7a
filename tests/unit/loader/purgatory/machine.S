// Both ends of the purgatory on an arm64 board of QEMU; machine_test.py assembles it. `start` enters the purgatory as
// a crashed kernel would, `kernel` is what it shall lead to: it says in which state it was entered and powers off.
  .arch armv8.2-a

#ifdef START
// EL2_HOST: HCR_EL2.E2H as a kernel that runs at EL2 leaves it. STREAMING: the crash happened in streaming SVE mode.
  .globl _start
_start:
#ifdef EL2_HOST
  mrs x0, hcr_el2
  orr x0, x0, #(1 << 34)
  orr x0, x0, #(1 << 27)
  msr hcr_el2, x0
  isb
#endif
#ifdef STREAMING
  mov x0, #(3 << 20)
  orr x0, x0, #(3 << 24)
  msr cpacr_el1, x0
  isb
  .inst 0xd503437f  // smstart sm
  msr cpacr_el1, xzr
#endif
  ldr x1, =ENTRY
  br x1
#else

  b kernel
  .long 0
  .quad 0, 0x200000, 0xa, 0, 0, 0  // text_offset, image_size, flags: the header of an Image
  .long 0x644d5241, 0

kernel:
  mov x20, x0
  orr x21, x1, x2
  orr x21, x21, x3
  mrs x22, CurrentEL
  lsr x22, x22, #2
  mrs x23, sctlr_el1
  cmp x22, #2
  b.ne 1f
  mrs x23, sctlr_el2
1:mov x24, #0x5
  and x23, x23, x24  // C, M
  mrs x25, daif
  lsr x25, x25, #6
  adr x0, text
  bl print
  mov x0, x22
  bl digit
  mov x0, x23
  bl digit
  mov x0, x25
  bl hex
  mov x0, x20
  bl hex
  mov x0, x21
  bl hex
  mov w0, #'\n'
  bl put
  movz x0, #0x8400, lsl #16
  movk x0, #0x0008  // SYSTEM_OFF
  cmp x22, #2
  b.eq 2f
  hvc #0
2:smc #0
  b .

print:
  mov x9, x30
  mov x8, x0
3:ldrb w0, [x8], #1
  cbz w0, 4f
  bl put
  b 3b
4:br x9
hex:
  mov x9, x30
  mov x8, x0
  mov x7, #60
5:lsr x0, x8, x7
  and x0, x0, #15
  add x0, x0, #'0'
  cmp x0, #'9'
  b.ls 6f
  add x0, x0, #('a' - '9' - 1)
6:bl put
  subs x7, x7, #4
  b.pl 5b
  mov w0, #' '
  bl put
  br x9
digit:
  mov x9, x30
  add x0, x0, #'0'
  bl put
  mov w0, #' '
  bl put
  br x9
put:
  movz x1, #0x0900, lsl #16
  str w0, [x1]
  ret
text:
  .asciz "kernel entered: "
#endif

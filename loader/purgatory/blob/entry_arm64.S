// arm64: entered at EL1 or EL2 with interrupts masked, MMU and caches off (arch/arm64/kernel/cpu-reset.S,
// hyp-stub.S). To hash with the caches off takes many seconds, so they are switched on for it, over tables
// that kdump-load made: they map the crash region alone. EL2 comes in two kinds: HCR_EL2.E2H tells which
// layout TCR_EL2 and CPTR_EL2 have. Afterwards everything is off again, as booting.rst wants it, and
// nothing of ours is left in the caches. The trampoline comes next.
//
// Kept over the check: x19 the first byte, x20 the parameters, x21 0 at EL1 and 1 at EL2, x22 SCTLR, x23
// CPACR or CPTR, x24 VBAR, x25 what check() said.
  .arch armv8.2-a
#define TCR_COMMON 0x3510   // T0SZ 16: 48 bits; inner and outer write-back; inner shareable
#define TCR_TWO_RANGES 0x80900000  // below: what a regime with TTBR1 has: EPD1, T1SZ 16, TG1 4K
#define MAIR_NORMAL 0xff    // attribute 0: write-back memory
#define ID_AA64MMFR3 s3_0_c0_c7_3
#define ID_AA64PFR1 id_aa64pfr1_el1

// The same for either level.
  .macro mmu_off el
  isb
  msr sctlr_\el, x0
  isb
  .endm

  .section .head, "ax"
  .globl purgatory_start
// The vectors of exceptions, too, which want a multiple of 2048. The first one, for stack pointer 0, cannot
// come.
purgatory_start:
  b start
  .balign 8, 0
  .long check - purgatory_start  // EntryTable
  .long compress - purgatory_start
  .long compress_fast - purgatory_start
  .long has_instructions - purgatory_start
  .rept 15
  .balign 128, 0
  b exception
  .endr
  .balign 128, 0

start:
  msr daifset, #15
  msr spsel, #1
  adr x19, purgatory_start
  adr x20, parameters
  adr x0, parameters_stack
  mov sp, x0

  // TCR but for the physical address size, at most 48 bits: that is what the tables can say.
  ldr x2, [x20, #56]  // Parameters::translation_granule
  mov x0, #TCR_COMMON
  orr x2, x2, x0
  mrs x3, id_aa64mmfr0_el1
  and x3, x3, #15
  mov x0, #5
  cmp x3, x0
  csel x3, x3, x0, lo
  mov x4, #MAIR_NORMAL
  ldr x5, [x20, #48]  // Parameters::translation_table
  // Floating point is enabled for the SHA-256 instructions: FPEN. With SME its SMEN, too, to leave
  // streaming mode, in which a crash may have happened and which lacks them.
  mov x6, #(3 << 20)
  mrs x7, ID_AA64PFR1
  ubfx x7, x7, #24, #4
  cbz x7, 1f
  orr x6, x6, #(3 << 24)
1:mrs x0, CurrentEL
  ubfx x21, x0, #3, #1
  cbnz x21, at_el2

  mrs x22, sctlr_el1
  mrs x23, cpacr_el1
  mrs x24, vbar_el1
  msr vbar_el1, x19
  orr x6, x6, x23
  msr cpacr_el1, x6
  orr x2, x2, x3, lsl #32
  mov x0, #TCR_TWO_RANGES
  orr x2, x2, x0
  msr mair_el1, x4
  msr tcr_el1, x2
  msr ttbr0_el1, x5
  // Permission indirection would read our tables in another way (TCR2_EL1.PIE).
  mrs x0, ID_AA64MMFR3
  ubfx x0, x0, #8, #4
  cbz x0, 2f
  msr s3_0_c2_c0_3, xzr
2:isb
  tlbi vmalle1
  b caches_on

at_el2:
  mrs x22, sctlr_el2
  mrs x23, cptr_el2
  mrs x24, vbar_el2
  msr vbar_el2, x19
  mrs x8, hcr_el2
  tbz x8, #34, 3f
  orr x6, x6, x23  // E2H: as at EL1
  orr x2, x2, x3, lsl #32
  mov x0, #TCR_TWO_RANGES
  orr x2, x2, x0
  b 4f
3:mov x0, #(1 << 10)  // TFP and TSM trap where they are set
  orr x0, x0, #(1 << 12)
  bic x6, x23, x0
  cbnz x7, 5f
  orr x6, x6, #(1 << 12)  // without SME it is reserved and 1
5:orr x2, x2, x3, lsl #16
  mov x0, #0x80800000  // reserved and 1
  orr x2, x2, x0
4:msr cptr_el2, x6
  msr mair_el2, x4
  msr tcr_el2, x2
  msr ttbr0_el2, x5
  mrs x0, ID_AA64MMFR3
  ubfx x0, x0, #8, #4
  cbz x0, 6f
  msr s3_4_c2_c0_3, xzr
6:isb
  tlbi alle2

caches_on:
  dsb nsh
  ic iallu
  dsb nsh
  isb
  cbz x7, 7f
  .inst 0xd503427f       // smstop sm
7:mov x0, #0x1005        // I, C, M on
  orr x1, x22, x0
  bic x1, x1, #2         // alignment checks off
  bic x1, x1, #(1 << 19) // WXN off
  cbnz x21, 8f
  msr sctlr_el1, x1
  b 9f
8:msr sctlr_el2, x1
9:isb

  mov x0, x20
  bl check
  mov x25, x0

  // What the check wrote is on its stack.
  mrs x2, ctr_el0
  ubfx x2, x2, #16, #4
  mov x3, #4
  lsl x2, x3, x2
  mov x0, x19
  adr x1, parameters_stack
10:
  dc civac, x0
  add x0, x0, x2
  cmp x0, x1
  b.lo 10b
  dsb sy
  mov x0, x22
  cbnz x21, 11f
  mmu_off el1
  tlbi vmalle1
  msr cpacr_el1, x23
  msr vbar_el1, x24
  b 12f
11:
  mmu_off el2
  tlbi alle2
  msr cptr_el2, x23
  msr vbar_el2, x24
12:
  dsb nsh
  ic iallu
  dsb nsh
  isb
  cbnz x25, failed
  ldr x0, [x20]  // Parameters::next
  br x0
failed:
  mov x0, x20
  mov x1, x25
  bl report

// Memory that cannot be read, or tables that are damaged. The stack is another one, which was never written
// with the caches on; its first word says that this is no second exception while the first one is reported.
exception:
  mrs x1, CurrentEL
  tbnz x1, #3, 13f
  mrs x0, sctlr_el1
  bic x0, x0, #1
  bic x0, x0, #4
  mmu_off el1
  b 14f
13:
  mrs x0, sctlr_el2
  bic x0, x0, #1
  bic x0, x0, #4
  mmu_off el2
14:
  adr x0, parameters_failure_stack
  mov sp, x0
  adr x20, parameters
  adr x1, parameters_stack
  ldr x2, [x1]
  str x0, [x1]
  dsb sy
  mov x0, x20
  cbnz x2, 15f
  mov x1, xzr
  bl report
15:
  bl reset_silently
  .section .note.GNU-stack, "", %progbits

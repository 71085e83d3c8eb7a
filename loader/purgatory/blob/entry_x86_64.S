// x86-64: entered in 64-bit mode with interrupts off, paging on and memory mapped at its physical address
// (arch/x86/kernel/relocate_kernel_64.S). There is no interrupt table, so any exception resets the machine.
// The trampoline that comes next sets up what the next kernel wants; here only SSE is enabled, and put
// back.
  .section .head, "ax"
  .globl purgatory_start
purgatory_start:
  jmp start
  .balign 8
  .long check - purgatory_start  // EntryTable
  .long compress - purgatory_start
  .long compress_fast - purgatory_start
  .long has_instructions - purgatory_start

start:
  cli
  cld
  lea parameters(%rip), %rbx
  lea parameters_stack(%rip), %rsp
  mov %cr0, %r12
  mov %cr4, %r13
  mov %r12, %rax
  and $~0xc, %rax  // EM, TS
  mov %rax, %cr0
  mov %r13, %rax
  or $0x200, %rax  // OSFXSR
  mov %rax, %cr4
  mov %rbx, %rdi
  call check
  mov %r13, %cr4
  mov %r12, %cr0
  test %rax, %rax
  jnz failed
  jmp *(%rbx)  // Parameters::next
failed:
  mov %rbx, %rdi
  mov %rax, %rsi
  call report
  .section .note.GNU-stack, "", @progbits

/* kdumpkit.h: libkdumpkit, the C interface for opening Linux kernel crash dumps.
 *
 *   kdumpkit_dump *dump;
 *   kdumpkit_error *error = NULL;
 *   if (kdumpkit_dump_open("vmcore", NULL, &dump, &error) != KDUMPKIT_OK) {
 *     fprintf(stderr, "%s\n", kdumpkit_error_message(error));
 *     kdumpkit_error_free(error);
 *     return 1;
 *   }
 *   puts(kdumpkit_dump_info(dump)->release);
 *   kdumpkit_dump_close(dump);
 *
 * C99 and later; kdumpkit.hpp is the same for C++. docs/libkdumpkit.md has a tour with complete programs.
 *
 * Results. Functions that can fail return one of enum kdumpkit_code. Their last parameter may be NULL; when
 * it is not, a failure stores an error there that the caller frees. Results come through the pointer before
 * it, which is set to NULL (to 0, for numbers) on failure. A NULL where none may be is
 * KDUMPKIT_ERROR_ARGUMENT, never a crash. Nothing throws, prints, exits, or changes the working directory,
 * locale or signal mask.
 *
 * Absence is not failure: a name that no symbol has, a member that the type lacks, an address that is not
 * mapped is KDUMPKIT_NOT_FOUND. That the dump has no symbols at all is KDUMPKIT_ERROR_MISSING, with a message
 * that says why.
 *
 * Ownership. What a function stores through a pointer is the caller's and is freed by the function named
 * after its type, in any order: results do not need the dump any more, unless their comment says so. What is
 * returned as pointer to const belongs to the object it was asked of. Freeing NULL does nothing. Strings are
 * never NULL where their comment does not say so; what is not known is "", or -1 for numbers that are signed.
 *
 * Structs are made by the library alone, but for the two said to be the caller's. Later versions append
 * members to them, therefore their size is no part of the interface: do not copy them, do not make arrays of
 * them. Three never change: kdumpkit_symbol, and kdumpkit_strings and kdumpkit_registers, which are members
 * of others.
 *
 * Threads. A dump is for one thread at a time. kdumpkit_dump_clone() makes one more for another thread, over
 * the same opened files. Results and errors never change and can be read from any thread. The first dump that
 * a process opens installs a handler for SIGBUS, which hands on to the one before it: a file that is cut
 * short while it is mapped costs pages, not the process.
 *
 * A dump is hostile input. All of its counts, lengths and links are checked and bounded. Text out of it is
 * escaped (control bytes as \xNN, invalid UTF-8 as U+FFFD) unless a comment calls it raw.
 *
 * Versions. Symbols carry the version of the library that brought them (KDUMPKIT_0.1). Within a major version
 * functions and members are added, never changed or removed; the soname is that major version.
 */
#ifndef KDUMPKIT_KDUMPKIT_H
#define KDUMPKIT_KDUMPKIT_H

#include <stddef.h>
#include <stdint.h>

#define KDUMPKIT_VERSION_MAJOR 0
#define KDUMPKIT_VERSION_MINOR 1
#define KDUMPKIT_VERSION_PATCH 0
#define KDUMPKIT_MAKE_VERSION(major, minor, patch) (((major) << 16) | ((minor) << 8) | (patch))
#define KDUMPKIT_VERSION \
  KDUMPKIT_MAKE_VERSION(KDUMPKIT_VERSION_MAJOR, KDUMPKIT_VERSION_MINOR, KDUMPKIT_VERSION_PATCH)

#if defined(__GNUC__)
#define KDUMPKIT_API __attribute__((visibility("default")))
#else
#define KDUMPKIT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* --- The library
 * ------------------------------------------------------------------------------------------------ */

/* Of the library that runs, as KDUMPKIT_VERSION is of the header that was compiled; "0.1.0". */
KDUMPKIT_API uint32_t kdumpkit_version(void);
KDUMPKIT_API const char* kdumpkit_version_string(void);

enum kdumpkit_code {
  KDUMPKIT_OK = 0,
  KDUMPKIT_NOT_FOUND = 1,         /* there is no such thing in this dump */
  KDUMPKIT_ERROR_IO = 2,          /* the operating system refused */
  KDUMPKIT_ERROR_FORMAT = 3,      /* the input contradicts its own format */
  KDUMPKIT_ERROR_UNSUPPORTED = 4, /* valid, but not something this library handles */
  KDUMPKIT_ERROR_MISSING = 5,     /* what the answer rests on is not there: a file, symbols, types */
  KDUMPKIT_ERROR_FAULT = 6,       /* memory of the dumped machine cannot be read */
  KDUMPKIT_ERROR_DENIED = 7,      /* no permission */
  KDUMPKIT_ERROR_ARGUMENT = 8,    /* the call is wrong */
  KDUMPKIT_ERROR_MEMORY = 9,      /* out of memory */
  KDUMPKIT_ERROR_VERSION = 10,    /* the program was compiled for a newer library */
  KDUMPKIT_ERROR_INTERNAL = 11    /* a bug of the library: please report it */
};
/* "ok", "not found", "io", ...; "unknown" for codes of later versions. */
KDUMPKIT_API const char* kdumpkit_code_name(int code);

/* Why a call failed. The functions take NULL, and then say nothing. */
typedef struct kdumpkit_error kdumpkit_error;
KDUMPKIT_API int kdumpkit_error_code(const kdumpkit_error* error);
/* One sentence without a full stop: what, where (file, offset, address) and why. */
KDUMPKIT_API const char* kdumpkit_error_message(const kdumpkit_error* error);
/* What to do about it; "" when there is nothing to say. */
KDUMPKIT_API const char* kdumpkit_error_hint(const kdumpkit_error* error);
/* The dump it is about, as it was given to the library; several parts joined by ", ". "" without one. */
KDUMPKIT_API const char* kdumpkit_error_file(const kdumpkit_error* error);
/* The address in the dumped machine that could not be read: 1 and stored, or 0. `address` may be NULL. */
KDUMPKIT_API int kdumpkit_error_address(const kdumpkit_error* error, uint64_t* address);
/* Why it could not, one of enum kdumpkit_memory; KDUMPKIT_MEMORY_OK when that is not what failed. */
KDUMPKIT_API int kdumpkit_error_memory(const kdumpkit_error* error);
KDUMPKIT_API void kdumpkit_error_free(kdumpkit_error* error);

typedef struct kdumpkit_strings {
  size_t count;
  const char* const* items;
} kdumpkit_strings;

/* Makes raw text fit for a terminal or a log. Writes as snprintf() does: at most `out_size` bytes, the last
 * of them zero. Returns the length that the whole has, without the zero. */
KDUMPKIT_API size_t kdumpkit_escape(const char* text, size_t text_size, char* out, size_t out_size);

/* --- Dumps
 * ------------------------------------------------------------------------------------------------------ */

typedef struct kdumpkit_dump kdumpkit_dump;

/* The caller's: `kdumpkit_open_options options = KDUMPKIT_OPEN_OPTIONS_INIT;`, then what differs. */
typedef struct kdumpkit_open_options {
  size_t size;                 /* of this struct, as the program knows it */
  uint32_t version;            /* KDUMPKIT_VERSION of the program: a library that is older refuses it */
  uint32_t reserved;           /* 0 */
  const char* vmcoreinfo_file; /* a text or note to use for the dump's VMCOREINFO; NULL: its own */
} kdumpkit_open_options;
#define KDUMPKIT_OPEN_OPTIONS_INIT \
  { sizeof(kdumpkit_open_options), KDUMPKIT_VERSION, 0, NULL }

/* Opens an ELF vmcore (kdump's, a hypervisor's, /proc/vmcore, /proc/kcore) or a kdump-compressed file, either
 * of them also as makedumpfile's flattened stream. Formats are told by content. A file that ends early opens
 * with kdumpkit_info.incomplete set. Memory of a dump without VMCOREINFO is searched for it. `options` may be
 * NULL. */
KDUMPKIT_API int kdumpkit_dump_open(const char* path, const kdumpkit_open_options* options,
                                    kdumpkit_dump** dump, kdumpkit_error** error);
/* All parts of a split set, in any order. */
KDUMPKIT_API int kdumpkit_dump_open_parts(const char* const* paths, size_t count,
                                          const kdumpkit_open_options* options, kdumpkit_dump** dump,
                                          kdumpkit_error** error);
/* A dump that is in memory: a copy is made. */
KDUMPKIT_API int kdumpkit_dump_open_bytes(const void* bytes, size_t size,
                                          const kdumpkit_open_options* options, kdumpkit_dump** dump,
                                          kdumpkit_error** error);
/* The same dump for another thread. Both are closed, in any order. May be called while `dump` is in use. */
KDUMPKIT_API int kdumpkit_dump_clone(const kdumpkit_dump* dump, kdumpkit_dump** clone,
                                     kdumpkit_error** error);
KDUMPKIT_API void kdumpkit_dump_close(kdumpkit_dump* dump);

/* What the file says of itself. No memory of the dumped machine is read for it. */
typedef struct kdumpkit_info {
  const char* file;              /* as opened; several parts joined by ", " */
  const char* format;            /* "elf", "kdump-compressed" */
  int flattened;                 /* makedumpfile's stream form */
  uint32_t parts;                /* files of the split set */
  int incomplete;                /* written or copied only in part */
  const char* incomplete_reason; /* "" when it is complete */
  int dump_level;                /* makedumpfile's -d; -1: not recorded */
  uint64_t file_bytes;           /* of all parts */
  const char* architecture;      /* "arm64", "x86_64"; "": not one that this library knows */
  uint32_t page_size;            /* bytes */
  uint64_t ram_bytes;            /* of page frames that the dump knows, present or excluded */
  const char* vmcoreinfo_source; /* "dump", "given", "memory", "absent" */
  const char* release;           /* uname -r */
  const char* version;           /* uname -v; only where the header has it */
  const char* machine;           /* uname -m */
  const char* hostname;          /* only where the header has it */
  const char* build_id;          /* of the vmlinux, hexadecimal */
  int64_t crash_time;            /* seconds since the epoch; -1: not recorded */
  kdumpkit_strings problems;     /* what was odd about the file, in sentences */
} kdumpkit_info;
/* NULL for NULL. */
KDUMPKIT_API const kdumpkit_info* kdumpkit_dump_info(const kdumpkit_dump* dump);

/* What the kernel's memory and log add to that. */
typedef struct kdumpkit_system {
  const char *release, *version, *machine, *hostname;
  const char* command_line;
  const char* taint;     /* letters, as the kernel prints them: "OE"; "": none, or unknown */
  int64_t cpus_possible; /* -1: unknown */
  int64_t cpus_online;   /* -1: unknown */
  int64_t uptime_ns;     /* of the last log record; -1: unknown */
  int64_t boot_time;     /* seconds since the epoch; -1: unknown */
  uint64_t kaslr_offset; /* bytes; 0: none, or unknown */
  uint32_t va_bits;      /* of virtual addresses, as they were in use */
  uint64_t kernel_start; /* lowest kernel virtual address */
  uint64_t page_offset;  /* first address of the linear map; 0: unknown */
} kdumpkit_system;
KDUMPKIT_API int kdumpkit_dump_system(kdumpkit_dump* dump, kdumpkit_system** system, kdumpkit_error** error);
KDUMPKIT_API void kdumpkit_system_free(kdumpkit_system* system);

/* The value of a VMCOREINFO key ("OSRELEASE", "SYMBOL(_stext)", "OFFSET(list_head.next)"), raw; NULL when
 * there is none. With "" for the key: all of the text. */
KDUMPKIT_API const char* kdumpkit_dump_vmcoreinfo(const kdumpkit_dump* dump, const char* key);

/* --- Memory
 * ----------------------------------------------------------------------------------------------------- */

enum kdumpkit_space { KDUMPKIT_VIRTUAL = 0, KDUMPKIT_PHYSICAL = 1 };

/* Why memory can or cannot be read. */
enum kdumpkit_memory {
  KDUMPKIT_MEMORY_OK = 0,
  KDUMPKIT_MEMORY_UNMAPPED = 1,          /* the page tables say so */
  KDUMPKIT_MEMORY_TABLE_UNAVAILABLE = 2, /* a page table is not in the dump: nobody can say */
  KDUMPKIT_MEMORY_NOT_KERNEL = 3,        /* no kernel address */
  KDUMPKIT_MEMORY_EXCLUDED = 4,          /* there was memory, and the dump leaves it out on purpose */
  KDUMPKIT_MEMORY_MISSING = 5,           /* no memory of the dumped machine, as far as the dump knows */
  KDUMPKIT_MEMORY_UNREADABLE = 6         /* it should be there: file cut short, bad data, I/O error */
};
/* "ok", "address not mapped", ... */
KDUMPKIT_API const char* kdumpkit_memory_name(int memory);

/* All of `size` bytes, or KDUMPKIT_ERROR_FAULT, whose kdumpkit_error_address() is the first byte that is not
 * there; then the buffer holds what is, and zeros. Physical memory is read also of dumps that lack
 * VMCOREINFO. */
KDUMPKIT_API int kdumpkit_dump_read(kdumpkit_dump* dump, int space, uint64_t address, void* buffer,
                                    size_t size, kdumpkit_error** error);

/* A run of bytes with one answer. */
typedef struct kdumpkit_piece {
  uint64_t address;
  uint64_t size;
  int memory; /* enum kdumpkit_memory */
} kdumpkit_piece;
/* They follow one another without gaps, from the first byte asked for to the last. */
typedef struct kdumpkit_pieces {
  size_t count;
  const kdumpkit_piece* const* items;
  uint64_t readable_bytes;
} kdumpkit_pieces;
/* What is there, zeros for what is not, and an account of which is which. */
KDUMPKIT_API int kdumpkit_dump_read_pieces(kdumpkit_dump* dump, int space, uint64_t address, void* buffer,
                                           size_t size, kdumpkit_pieces** pieces, kdumpkit_error** error);
KDUMPKIT_API void kdumpkit_pieces_free(kdumpkit_pieces* pieces);

/* Memory that the machine had, as far as the dump knows; one piece per bank, KDUMPKIT_MEMORY_OK. Whether a
 * page of it is in the dump says kdumpkit_dump_page(). */
KDUMPKIT_API int kdumpkit_dump_ram(const kdumpkit_dump* dump, kdumpkit_pieces** ram, kdumpkit_error** error);
/* The state of the page with this physical address, without reading it: enum kdumpkit_memory. */
KDUMPKIT_API int kdumpkit_dump_page(const kdumpkit_dump* dump, uint64_t address);

/* Physical address of a kernel virtual one, and how many bytes from there on are translated alike (may be
 * NULL). KDUMPKIT_NOT_FOUND when it is not mapped. */
KDUMPKIT_API int kdumpkit_dump_translate(kdumpkit_dump* dump, uint64_t address, uint64_t* physical,
                                         uint64_t* contiguous, kdumpkit_error** error);

/* One entry of a page table on the way. */
typedef struct kdumpkit_step {
  const char* level; /* the kernel's name: "pgd", "p4d", "pud", "pmd", "pte" */
  const char* kind;  /* "table": leads on; "leaf": maps memory; "invalid": maps nothing; "unreadable" */
  uint64_t entry;    /* physical address of the entry */
  uint64_t raw;      /* the entry itself; 0 when unreadable */
  uint64_t to;       /* physical address of the next table or, of a leaf, of the address itself; else 0 */
  uint64_t size;     /* bytes of address space that the entry covers */
  kdumpkit_strings flags;
} kdumpkit_step;
typedef struct kdumpkit_walk {
  size_t count;
  const kdumpkit_step* const* items; /* from the root table on */
} kdumpkit_walk;
#define KDUMPKIT_KERNEL_TABLES UINT64_MAX
/* Each step of a translation, through the kernel's tables or those whose root is at physical address `root`.
 */
KDUMPKIT_API int kdumpkit_dump_walk(kdumpkit_dump* dump, uint64_t root, uint64_t address,
                                    kdumpkit_walk** walk, kdumpkit_error** error);
KDUMPKIT_API void kdumpkit_walk_free(kdumpkit_walk* walk);

/* --- Symbols
 * ---------------------------------------------------------------------------------------------------- */

/* The caller's. The strings are raw, and valid until the dump is closed. */
typedef struct kdumpkit_symbol {
  const char* name;
  const char* module; /* "" for the kernel itself */
  uint64_t address;   /* where the symbol is */
  uint64_t size;      /* bytes, or those to the next symbol; 0: unknown */
  uint64_t offset;    /* of the address that was asked for, in the symbol */
  int type;           /* nm's letter */
} kdumpkit_symbol;
/* From the kallsyms in the dump, at run-time addresses (KASLR applied). Module symbols are read when an
 * address or a name is not the kernel's own. */
KDUMPKIT_API int kdumpkit_dump_symbol_at(kdumpkit_dump* dump, uint64_t address, kdumpkit_symbol* symbol,
                                         kdumpkit_error** error);
/* The first of this name: the kernel's before modules', text before data. */
KDUMPKIT_API int kdumpkit_dump_symbol(kdumpkit_dump* dump, const char* name, kdumpkit_symbol* symbol,
                                      kdumpkit_error** error);

typedef struct kdumpkit_symbols {
  size_t count;
  const kdumpkit_symbol* const* items;
} kdumpkit_symbols;
/* All of this name in that order, modules' too; with NULL for the name, all there are, by address. Names are
 * valid until the dump is closed. */
KDUMPKIT_API int kdumpkit_dump_symbols(kdumpkit_dump* dump, const char* name, kdumpkit_symbols** symbols,
                                       kdumpkit_error** error);
KDUMPKIT_API void kdumpkit_symbols_free(kdumpkit_symbols* symbols);

typedef struct kdumpkit_module {
  const char* name;
  uint64_t address;  /* struct module */
  uint64_t base;     /* of its text */
  uint64_t size;     /* as in /proc/modules */
  const char* state; /* "live", "coming", "going", "unformed" */
  const char* taint; /* letters */
  const char *version, *srcversion, *build_id;
} kdumpkit_module;
typedef struct kdumpkit_modules {
  size_t count;
  const kdumpkit_module* const* items; /* newest first */
  kdumpkit_strings problems;
} kdumpkit_modules;
KDUMPKIT_API int kdumpkit_dump_modules(kdumpkit_dump* dump, kdumpkit_modules** modules,
                                       kdumpkit_error** error);
KDUMPKIT_API void kdumpkit_modules_free(kdumpkit_modules* modules);

/* --- Types
 * ------------------------------------------------------------------------------------------------------ */

/* A member of a struct or union, or an enumerator. */
typedef struct kdumpkit_member {
  const char* name;        /* "": an anonymous struct or union, whose members follow with a larger depth */
  const char* type;        /* "struct list_head"; "" where only VMCOREINFO knows the member */
  const char* declaration; /* "struct list_head tasks", "unsigned int in_execve : 1" */
  uint64_t offset;         /* bytes from the start of the whole */
  uint64_t size;           /* bytes; 0: unknown */
  uint32_t bit, bits;      /* of a bit field: from `offset` on; `bits` is 0 for others */
  uint32_t depth;          /* of anonymous structs around it */
  int64_t value;           /* of an enumerator */
} kdumpkit_member;
typedef struct kdumpkit_type {
  const char* name;       /* "struct task_struct" */
  const char* kind;       /* "struct", "union", "enum", "typedef", "number" */
  const char* stands_for; /* of a typedef */
  uint64_t size;          /* bytes; 0: unknown */
  uint64_t holes;         /* bytes between members and behind them */
  size_t member_count;
  const kdumpkit_member* const* members;
  size_t enumerator_count;
  const kdumpkit_member* const* enumerators;
} kdumpkit_type;
/* By its name in C: "task_struct", "struct task_struct", "pid_t", "unsigned long", "enum pid_type". From the
 * BTF in the dump, the kernel's and its modules'. KDUMPKIT_NOT_FOUND: there is no such type. */
KDUMPKIT_API int kdumpkit_dump_type(kdumpkit_dump* dump, const char* name, kdumpkit_type** type,
                                    kdumpkit_error** error);
/* One member of a type, as a type that has it alone: "comm", "se.vruntime" (structs inside by dots; pointers
 * are not followed). */
KDUMPKIT_API int kdumpkit_dump_member(kdumpkit_dump* dump, const char* type, const char* path,
                                      kdumpkit_type** member, kdumpkit_error** error);
KDUMPKIT_API void kdumpkit_type_free(kdumpkit_type* type);
/* Of dumps without types, those that VMCOREINFO tells: bytes. */
KDUMPKIT_API int kdumpkit_dump_type_size(kdumpkit_dump* dump, const char* type, uint64_t* size,
                                         kdumpkit_error** error);
KDUMPKIT_API int kdumpkit_dump_member_offset(kdumpkit_dump* dump, const char* type, const char* path,
                                             uint64_t* offset, kdumpkit_error** error);
KDUMPKIT_API int kdumpkit_dump_enumerator(kdumpkit_dump* dump, const char* name, int64_t* value,
                                          kdumpkit_error** error);

/* --- The kernel log
 * --------------------------------------------------------------------------------------------- */

typedef struct kdumpkit_record {
  uint64_t sequence;
  uint64_t time_ns; /* since boot */
  int level;        /* 0 emergency to 7 debug */
  int facility;
  int64_t pid;      /* of the thread that logged it; -1: not recorded, or not in a task */
  int64_t cpu;      /* that logged it outside of tasks; -1: not recorded, or in a task */
  int incomplete;   /* not finished when the kernel stopped */
  int truncated;    /* damaged: what is there is shown */
  const char* text; /* raw, may hold newlines and zeros */
  size_t text_size;
  const char* line; /* as dmesg prints it, escaped: "[    1.234567] text"; may be several lines */
  const char *subsystem, *device;
} kdumpkit_record;
typedef struct kdumpkit_log {
  size_t count;
  const kdumpkit_record* const* items; /* oldest first */
  kdumpkit_strings problems;
} kdumpkit_log;
KDUMPKIT_API int kdumpkit_dump_log(kdumpkit_dump* dump, kdumpkit_log** log, kdumpkit_error** error);
KDUMPKIT_API void kdumpkit_log_free(kdumpkit_log* log);

/* --- Tasks, CPUs, backtraces
 * ------------------------------------------------------------------------------------- */

typedef struct kdumpkit_task {
  uint64_t address;        /* struct task_struct */
  int64_t pid, tgid, ppid; /* -1: cannot be read */
  const char* comm;
  const char* state;      /* the letter that ps shows: "R", "S", "D", ...; "?" unknown */
  const char* state_name; /* "running", "sleeping", "uninterruptible", ... */
  int64_t cpu;            /* where it runs or ran last; -1: unknown */
  int on_cpu;             /* 1: it was running; 0: not; -1: not recorded */
  int kernel_thread;
} kdumpkit_task;
typedef struct kdumpkit_tasks {
  size_t count;
  const kdumpkit_task* const* items; /* each thread group leader, then its threads; no idle tasks */
  int complete;                      /* the whole list was walked */
  kdumpkit_strings problems;
} kdumpkit_tasks;
KDUMPKIT_API int kdumpkit_dump_tasks(kdumpkit_dump* dump, kdumpkit_tasks** tasks, kdumpkit_error** error);
KDUMPKIT_API void kdumpkit_tasks_free(kdumpkit_tasks* tasks);

typedef struct kdumpkit_register {
  const char* name; /* "pc", "x0"; "rip", "rax" */
  uint64_t value;
} kdumpkit_register;
/* Those that are known. */
typedef struct kdumpkit_registers {
  size_t count;
  const kdumpkit_register* const* items;
} kdumpkit_registers;

typedef struct kdumpkit_frame {
  uint64_t pc;
  int is_return_address; /* look up pc - 1 for where it was called from */
  const char* kind;      /* "call"; "exception": interrupted here; "lr_candidate", "bad_call" */
  const char* trust;  /* how it is known, best first: "registers", "cfi", "orc", "frame_record", "inferred",
                         "scan" */
  const char* stack;  /* "task", "irq", "nmi", ...; "?" unknown */
  const char* symbol; /* "": unknown */
  uint64_t symbol_offset;
  uint64_t symbol_size;
  const char* module;           /* "" for the kernel itself */
  uint64_t at;                  /* address of the frame record or registers it came from; 0: none */
  kdumpkit_registers registers; /* at an exception, the interrupted context's */
} kdumpkit_frame;
typedef struct kdumpkit_backtrace {
  size_t count;
  const kdumpkit_frame* const* items; /* innermost first */
  int complete;                       /* ended where the stack ends, not where knowledge does */
  const char* end;                    /* why it ended */
  kdumpkit_strings problems;
} kdumpkit_backtrace;
/* By the address of its struct task_struct. One that was on a CPU has that CPU's. */
KDUMPKIT_API int kdumpkit_dump_task_backtrace(kdumpkit_dump* dump, uint64_t task,
                                              kdumpkit_backtrace** backtrace, kdumpkit_error** error);
KDUMPKIT_API void kdumpkit_backtrace_free(kdumpkit_backtrace* backtrace);

typedef struct kdumpkit_cpu {
  int64_t cpu;            /* -1: the note could not be tied to a CPU */
  const char* cpu_source; /* how that is known */
  int crashed;            /* this one panicked */
  int answered;           /* 0: it was online and left no registers */
  int user_mode;
  int64_t pid; /* of the task that ran there; -1: unknown */
  const char* comm;
  uint64_t task; /* struct task_struct; 0: unknown */
  kdumpkit_registers registers;
  const kdumpkit_backtrace* backtrace; /* part of this crash: not to be freed */
} kdumpkit_cpu;

/* Why and where the kernel died. */
typedef struct kdumpkit_crash {
  const char* class_name;    /* "null_deref", "hung_task", "panic", "no_panic", ...: open-ended */
  const char* class_title;   /* the same for people */
  const char* panic_message; /* "": none was found */
  int in_interrupt;
  int64_t cpu, pid; /* that crashed; -1: unknown */
  const char* comm;
  int64_t time;           /* seconds since the epoch; -1: unknown */
  const char* fault;      /* what the CPU refused to do, in words; "": nothing, or unknown */
  uint64_t fault_address; /* only with has_fault_address */
  int has_fault_address;
  size_t cpu_count;
  const kdumpkit_cpu* const* cpus; /* by number */
  const kdumpkit_cpu* crashed_cpu; /* among them; NULL: unknown */
  kdumpkit_strings log_trace;      /* function names of the kernel's own trace, innermost first */
  int log_trace_agrees;            /* with the backtrace; -1: nothing to compare */
  kdumpkit_strings problems;
  const char* json; /* all of this and more: schemas/crash.schema.json */
} kdumpkit_crash;
KDUMPKIT_API int kdumpkit_dump_crash(kdumpkit_dump* dump, kdumpkit_crash** crash, kdumpkit_error** error);
KDUMPKIT_API void kdumpkit_crash_free(kdumpkit_crash* crash);

#ifdef __cplusplus
}
#endif

#endif /* KDUMPKIT_KDUMPKIT_H */

#include "analyze/triage/redact.h"

#include <gtest/gtest.h>

#include "analyze/triage/redact_text.h"

namespace kdk {
namespace {

std::string redacted(std::string_view text, std::string_view host = "db7.example.net") {
  TextRedactor redactor;
  redactor.add_host(host);
  return redactor(text);
}

TEST(RedactText, FormsThatIdentify) {
  const std::pair<const char*, const char*> cases[] = {
      {"eth0: 52:54:00:12:34:56, link up", "eth0: mac-1, link up"},
      {"IP-Config: 192.168.7.12 gw 10.0.0.1", "IP-Config: ip4-1 gw ip4-2"},
      {"nfs: server 10.1.2.3:2049 not responding", "nfs: server ip4-1:2049 not responding"},
      {"from 2001:db8::17 to fe80::5054:ff:fe12:3456.", "from ip6-1 to ip6-2."},
      {"root=UUID=01234567-89ab-cdef-0123-456789abcdef ro", "root=UUID=uuid-1 ro"},
      {"mail of jane.doe@example.org:", "mail of email-1:"},
      {"nfs://jane:geheim@server/x", "nfs://user-1@server/x"},
      {"exe=/home/jane/bin/x", "exe=/home/user-1/bin/x"},
      {"foo.password=geheim quiet", "foo.password=secret-1 quiet"},
      {"iscsi_token: abc quiet", "iscsi_token: secret-1 quiet"},
      {"usb 1-1: SerialNumber: 4C530001", "usb 1-1: SerialNumber: serial-1"},
      {"wwn-0x5000c500a1b2c3d4 sda", "wwn-serial-1 sda"},
      {"db7 login; db7.example.net up; db77, x-db7, db7-x stay",
       "host-1 login; host-1 up; db77, x-db7, db7-x stay"},
      {"a 10.0.0.9 b 10.0.0.8 c 10.0.0.9", "a ip4-1 b ip4-2 c ip4-1"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(expected, redacted(text));
}

TEST(RedactText, WhatIdentifiesNobodyStays) {
  for (const char* text : {
           "pci 0000:00:01.0: [1af4:1000] type 00",
           "Linux version 6.12.117+deb12-cloud-arm64 (gcc 12.2.0)",
           "pc : kdk_null_read+0x2c/0x40 [kdk_plant]",
           "x2 : ffffc2abc560f508 x1 : ffffc2abc560f508",
           "[mem 0x0000000040000000-0x000000007fffffff]",
           "listening on 0.0.0.0:80, 127.0.0.1 and ::1",
           "mac ff:ff:ff:ff:ff:ff and 00:00:00:00:00:00",
           "Code: 910003fd f9400442 91142000 f9410021 (f9401442)",
           "systemd[1]: key = none",
           "12:30:45 and a::b",
           "ACPI: RSDT 0x000000001FFE1A2F 000034 (v01 BOCHS  BXPC     00000001 BXPC 00000001)",
           "console=ttyAMA0 panic=1 crashkernel=256M",
       })
    EXPECT_EQ(text, redacted(text));
}

TEST(RedactText, HostsThatMachinesShareStay) {
  EXPECT_EQ("Debian debian (none) localhost ab", redacted("Debian debian (none) localhost ab", "debian"));
  EXPECT_EQ("(none)", redacted("(none)", "(none)"));
  EXPECT_EQ("ab", redacted("ab", "ab"));
}

TEST(RedactText, AnyBytes) {
  TextRedactor redactor;
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(all, redactor(all));
  EXPECT_EQ("", redactor(""));
  for (const char* text :
       {":", "::", "1.2.3.", "://", "://@", "password=", "/home/", "@", "a@", "0:0:0:0:0:0:0:0"})
    EXPECT_EQ(text, redactor(text)) << text;
  const std::string ones(100'000, '1');
  EXPECT_EQ(ones, redactor(ones));
}

TEST(RedactText, Counts) {
  TextRedactor redactor;
  redactor("10.0.0.1 10.0.0.1 52:54:00:12:34:56");
  EXPECT_EQ((std::map<std::string, uint64_t>{{"ip4", 2}, {"mac", 1}}), redactor.counts());
}

Report example() {
  Report report;
  report.identity.hostname = "db7";
  report.identity.command_line = "root=UUID=01234567-89ab-cdef-0123-456789abcdef quiet api_key=abc";
  report.evidence.vmlinux_debug_file = "/home/jane/vmlinux.debug";
  report.evidence.modules.resize(1);
  report.evidence.modules[0].path = "/home/jane/a.ko";
  report.evidence.modules[0].refused = {"/home/jane/b.ko: another build"};
  report.crash.emplace();
  report.crash->panic_message = "db7 gave up";
  report.crash->comm = "secretd";
  report.crash->crash_class.evidence = {{1, "task secretd:12 blocked, db7"}};
  report.tasks.emplace();
  report.tasks->tasks.resize(2);
  report.tasks->tasks[0].comm = "secretd";
  report.tasks->tasks[1].comm = "kworker/0:1";
  report.tasks->tasks[1].kernel_thread = true;
  report.log.emplace();
  report.log->tail.resize(2);
  report.log->tail[0].text = "Comm: secretd Not tainted, 10.0.0.7";
  report.log->tail[1].text = "app: customer 4711";
  report.log->tail[1].facility = 3;
  return report;
}

TEST(Redact, ByLevel) {
  Report report = example();
  redact(report, RedactionLevel::none);
  EXPECT_EQ("db7", report.identity.hostname);
  EXPECT_TRUE(report.redaction.counts.empty());

  redact(report, RedactionLevel::normal);
  EXPECT_EQ("host-1", report.identity.hostname);
  EXPECT_EQ("root=UUID=uuid-1 quiet api_key=secret-1", report.identity.command_line);
  EXPECT_EQ("host-1 gave up", report.crash->panic_message);
  EXPECT_EQ("/home/user-1/vmlinux.debug", report.evidence.vmlinux_debug_file);
  EXPECT_EQ("/home/user-1/a.ko", report.evidence.modules[0].path);
  EXPECT_EQ("/home/user-1/b.ko: another build", report.evidence.modules[0].refused[0]);
  EXPECT_EQ("secretd", report.crash->comm) << "names of tasks stay";
  EXPECT_EQ("Comm: secretd Not tainted, ip4-1", report.log->tail[0].text);
  EXPECT_EQ("app: customer 4711", report.log->tail[1].text);
  EXPECT_EQ(3u, report.redaction.counts.at("host"));

  report = example();
  redact(report, RedactionLevel::strict);
  EXPECT_EQ("root=value-1 quiet api_key=value-2", report.identity.command_line);
  EXPECT_EQ("task-1", report.crash->comm);
  EXPECT_EQ("task-1", report.tasks->tasks[0].comm);
  EXPECT_EQ("kworker/0:1", report.tasks->tasks[1].comm);
  EXPECT_EQ("task task-1:12 blocked, host-1", report.crash->crash_class.evidence[0].text);
  EXPECT_EQ("Comm: task-1 Not tainted, ip4-1", report.log->tail[0].text);
  EXPECT_EQ("message-1", report.log->tail[1].text);
}

}  // namespace
}  // namespace kdk

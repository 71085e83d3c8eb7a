// Files, mounts, sockets and interfaces over a small kernel made for them.
#include <gtest/gtest.h>

#include "analyze/inspect/mounts.h"
#include "analyze/inspect/network.h"
#include "analyze/inspect/open_files.h"
#include "analyze/triage/redact_objects.h"
#include "core/base/error.h"
#include "tests/support/object_machine.h"

namespace kdk {
namespace {

using test::ObjectMachine;

// A root file system with /mnt, on which another one is mounted.
class FileTest : public testing::Test {
 protected:
  FileTest() {
    m.structure("qstr", {{"hash", "u32"}, {"len", "u32"}, {"name", "char *"}});
    m.structure("file_system_type", {{"name", "char *"}});
    m.structure(
        "super_block",
        {{"s_dev", "u32"}, {"s_type", "file_system_type *"}, {"s_subtype", "char *"}, {"s_flags", "u64"}});
    m.structure("inode", {{"i_mode", "u16"}, {"i_ino", "u64"}, {"i_sb", "super_block *"}});
    m.structure("hlist_bl_node", {{"next", "void *"}, {"pprev", "void *"}});
    m.structure("dentry", {{"d_hash", "hlist_bl_node"},
                           {"d_parent", "dentry *"},
                           {"d_name", "qstr"},
                           {"d_inode", "inode *"},
                           {"d_sb", "super_block *"}});
    m.structure("vfsmount", {{"mnt_root", "dentry *"}, {"mnt_sb", "super_block *"}, {"mnt_flags", "s32"}});
    m.structure("mount", {{"mnt_parent", "mount *"},
                          {"mnt_mountpoint", "dentry *"},
                          {"mnt", "vfsmount"},
                          {"mnt_node", "rb_node"},
                          {"mnt_list", "list_head"},
                          {"mnt_devname", "char *"},
                          {"mnt_id", "s32"}});
    m.structure("mnt_namespace", {{"mounts", "rb_root"}});
    m.structure("nsproxy", {{"mnt_ns", "mnt_namespace *"}});
    m.structure("path", {{"mnt", "vfsmount *"}, {"dentry", "dentry *"}});
    m.structure("file", {{"f_mode", "u32"},
                         {"f_flags", "u32"},
                         {"f_inode", "inode *"},
                         {"f_path", "path"},
                         {"f_pos", "u64"}});
    m.structure("fdtable", {{"max_fds", "u32"}, {"fd", "void *"}, {"open_fds", "void *"}});
    m.structure("files_struct", {{"fdt", "fdtable *"}});
    m.structure("fs_struct", {{"root", "path"}, {"pwd", "path"}});
    m.structure("mm_struct", {{"exe_file", "file *"}});
    test::describe_tasks(m, {{"fs", "fs_struct *"},
                             {"files", "files_struct *"},
                             {"mm", "mm_struct *"},
                             {"nsproxy", "nsproxy *"}});
    root_fs = super("ext4", 254u << 20 | 1);
    root = dentry("/", {}, root_fs, 0040755, 2);
    etc = dentry("etc", root, root_fs, 0040755, 3);
    passwd = dentry("passwd", etc, root_fs, 0100644, 4);
    mnt = dentry("mnt", root, root_fs, 0040755, 5);
    other_fs = super("tmpfs", 30);
    other_root = dentry("/", {}, other_fs, 0040755, 1);
    note = dentry("no\nte", other_root, other_fs, 0100600, 9);
    root_mount = mount(1, "/dev/vda1", root, root_fs, {}, {});
    other_mount = mount(2, "tmpfs", other_root, other_fs, root_mount, mnt);
  }
  VirtAddr super(const std::string& type, uint32_t device) {
    const VirtAddr at = m.object("super_block"), kind = m.object("file_system_type");
    m.set(kind, "file_system_type", "name", m.string(type).value);
    m.set(at, "super_block", "s_type", kind.value);
    m.set(at, "super_block", "s_dev", device);
    return at;
  }
  VirtAddr dentry(const std::string& name, VirtAddr parent, VirtAddr super, uint32_t mode, uint64_t number) {
    const VirtAddr at = m.object("dentry"), inode = m.object("inode");
    m.set(inode, "inode", "i_mode", mode);
    m.set(inode, "inode", "i_ino", number);
    m.set(inode, "inode", "i_sb", super.value);
    m.set(at, "dentry", "d_parent", parent.value != 0 ? parent.value : at.value);
    m.set(at, "dentry", "d_name.len", name.size());
    m.set(at, "dentry", "d_name.name", m.string(name).value);
    m.set(at, "dentry", "d_inode", inode.value);
    m.set(at, "dentry", "d_sb", super.value);
    m.set(at, "dentry", "d_hash.pprev", 0xffff000000001000);
    return at;
  }
  VirtAddr mount(int id, const std::string& source, VirtAddr root_dentry, VirtAddr super, VirtAddr parent,
                 VirtAddr place) {
    const VirtAddr at = m.object("mount");
    m.set(at, "mount", "mnt_id", static_cast<uint64_t>(id));
    m.set(at, "mount", "mnt_devname", m.string(source).value);
    m.set(at, "mount", "mnt.mnt_root", root_dentry.value);
    m.set(at, "mount", "mnt.mnt_sb", super.value);
    m.set(at, "mount", "mnt_parent", parent.value != 0 ? parent.value : at.value);
    m.set(at, "mount", "mnt_mountpoint", place.value != 0 ? place.value : root_dentry.value);
    return at;
  }
  VirtAddr in(VirtAddr mount) { return m.at(mount, "mount", "mnt"); }
  VirtAddr file(VirtAddr mount, VirtAddr entry, uint32_t mode = 3) {
    const VirtAddr at = m.object("file");
    m.set(at, "file", "f_mode", mode);
    m.set(at, "file", "f_path.mnt", mount.value != 0 ? in(mount).value : 0);
    m.set(at, "file", "f_path.dentry", entry.value);
    const VirtAddr inode_at = m.at(entry, "dentry", "d_inode");
    const uint64_t page = m.machine.page_size();
    const auto bytes = m.machine.page(m.machine.pfn_of(m.machine.phys(inode_at)));
    m.set(at, "file", "f_inode", *load<ul64>(bytes, inode_at.value % page));
    m.set(at, "file", "f_pos", 77);
    return at;
  }
  VirtAddr task_with(const std::vector<VirtAddr>& files, uint64_t places = 64) {
    const VirtAddr task = test::put_task(m, 9, "user"), table = m.object("fdtable"),
                   owner = m.object("files_struct");
    const VirtAddr array = m.machine.alloc(512), bits = m.machine.alloc(64);
    uint64_t open = 0;
    for (size_t i = 0; i < files.size(); ++i) {
      if (files[i].value == 0) continue;
      open |= uint64_t{1} << i;
      m.machine.put_u64(array + i * 8, files[i].value);
    }
    m.machine.put_u64(bits, open);
    m.set(table, "fdtable", "max_fds", places);
    m.set(table, "fdtable", "fd", array.value);
    m.set(table, "fdtable", "open_fds", bits.value);
    m.set(owner, "files_struct", "fdt", table.value);
    m.set(task, "task_struct", "files", owner.value);
    return task;
  }
  ProcessFiles read(VirtAddr task) {
    m.open();
    return read_open_files(m.types(), task, problems);
  }
  ObjectMachine m;
  VirtAddr root_fs, other_fs, root, etc, passwd, mnt, other_root, note, root_mount, other_mount;
  std::vector<std::string> problems;
};

TEST_F(FileTest, PathsOverMountPoints) {
  const VirtAddr gone = dentry("gone", etc, root_fs, 0100644, 6);
  m.set(gone, "dentry", "d_hash.pprev", 0);
  const VirtAddr pipe = dentry("", {}, super("pipefs", 13), 0010600, 4711);
  const VirtAddr event = dentry("[eventfd]", {}, super("anon_inodefs", 14), 0600, 12);
  const VirtAddr task =
      task_with({file(root_mount, passwd, 1), VirtAddr{}, file(other_mount, note), file(root_mount, gone),
                 file({}, pipe, 2), file({}, event), file(other_mount, other_root)});
  const VirtAddr place = m.object("fs_struct");
  m.set(place, "fs_struct", "pwd.mnt", in(other_mount).value);
  m.set(place, "fs_struct", "pwd.dentry", other_root.value);
  m.set(place, "fs_struct", "root.mnt", in(root_mount).value);
  m.set(place, "fs_struct", "root.dentry", root.value);
  m.set(task, "task_struct", "fs", place.value);
  const ProcessFiles found = read(task);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ("", found.error);
  EXPECT_EQ("/mnt", found.directory);
  EXPECT_EQ("/", found.root);
  ASSERT_EQ(6u, found.files.size());
  EXPECT_EQ("/etc/passwd", found.files[0].path);
  EXPECT_EQ("r", found.files[0].access);
  EXPECT_EQ("ext4", found.files[0].type);
  EXPECT_EQ(4u, found.files[0].inode);
  EXPECT_EQ(77u, found.files[0].position);
  EXPECT_EQ(2u, found.files[1].fd);
  EXPECT_EQ("/mnt/no\\x0ate", found.files[1].path);
  EXPECT_TRUE(found.files[2].deleted);
  EXPECT_FALSE(found.files[1].deleted);
  EXPECT_EQ("pipe:[4711]", found.files[3].path);
  EXPECT_EQ("pipe", found.files[3].kind);
  EXPECT_EQ("anon_inode:[eventfd]", found.files[4].path);
  EXPECT_EQ("anonymous", found.files[4].kind);
  EXPECT_EQ("directory", found.files[5].kind);
  EXPECT_EQ("/mnt", found.files[5].path);
}

TEST_F(FileTest, CirclesOfDentriesAndMountsEnd) {
  m.set(etc, "dentry", "d_parent", passwd.value);
  m.set(root_mount, "mount", "mnt_parent", other_mount.value);
  m.set(root_mount, "mount", "mnt_mountpoint", note.value);
  const VirtAddr task =
      task_with({file(root_mount, passwd), file(other_mount, note), VirtAddr{0xdead000000000100}});
  const ProcessFiles found = read(task);
  ASSERT_EQ(2u, found.files.size());
  EXPECT_TRUE(found.files[0].path.starts_with("...")) << found.files[0].path;
  EXPECT_TRUE(found.files[1].path.starts_with("...")) << found.files[1].path;
  EXPECT_EQ(1u, problems.size());
}

TEST_F(FileTest, AbsurdTablesAreCut) {
  ProcessFiles found = read(task_with({file(root_mount, passwd)}, 0xffffffff));
  EXPECT_FALSE(problems.empty());
  EXPECT_GE(found.files.size(), 1u);
  const VirtAddr thread = test::put_task(m, 2, "kthreadd");
  found = read(thread);
  EXPECT_NE("", found.error);
  m.set(passwd, "dentry", "d_name.len", 5000);
  found = read(task_with({file(root_mount, passwd)}));
  EXPECT_EQ("", found.files.at(0).path);
}

TEST_F(FileTest, MountsOfATree) {
  const VirtAddr space = m.object("mnt_namespace"), proxy = m.object("nsproxy"),
                 task = test::put_task(m, 1, "init");
  m.set(other_mount, "mount", "mnt.mnt_flags", 0x20 | 0x01 | 0x40);
  m.tree(m.at(space, "mnt_namespace", "mounts"),
         {m.at(other_mount, "mount", "mnt_node"), m.at(root_mount, "mount", "mnt_node")});
  m.set(proxy, "nsproxy", "mnt_ns", space.value);
  m.set(task, "task_struct", "nsproxy", proxy.value);
  m.open();
  Mounts found = read_mounts(m.types(), task);
  EXPECT_TRUE(found.problems.empty());
  ASSERT_EQ(2u, found.mounts.size());
  EXPECT_EQ("/", found.mounts[0].target);
  EXPECT_EQ("/dev/vda1", found.mounts[0].source);
  EXPECT_EQ("ext4", found.mounts[0].type);
  EXPECT_EQ("rw", found.mounts[0].options);
  EXPECT_EQ(254u, found.mounts[0].major);
  EXPECT_EQ(1u, found.mounts[0].minor);
  EXPECT_FALSE(found.mounts[0].parent);
  EXPECT_EQ("/mnt", found.mounts[1].target);
  EXPECT_EQ(1u, found.mounts[1].depth);
  EXPECT_EQ(1, found.mounts[1].parent);
  EXPECT_EQ("ro,nosuid,relatime", found.mounts[1].options);
  // Each other's parents, and a tree that leads back: both are shown, and it is said.
  m.set(root_mount, "mount", "mnt_parent", other_mount.value);
  m.machine.put_u64(m.at(root_mount, "mount", "mnt_node.rb_left"),
                    m.at(other_mount, "mount", "mnt_node").value);
  m.machine.put_u64(m.at(other_mount, "mount", "mnt_node.rb_left"),
                    m.at(root_mount, "mount", "mnt_node").value);
  m.open();
  found = read_mounts(m.types(), task);
  EXPECT_FALSE(found.problems.empty());
  EXPECT_THROW(read_mounts(m.types(), test::put_task(m, 3, "dead")), Error);
}

TEST(MountList, BeforeTheTree) {
  ObjectMachine m;
  m.structure("file_system_type", {{"name", "char *"}});
  m.structure("super_block", {{"s_type", "file_system_type *"}});
  m.structure("qstr", {{"len", "u32"}, {"name", "char *"}});
  m.structure("dentry", {{"d_parent", "dentry *"}, {"d_name", "qstr"}, {"d_sb", "super_block *"}});
  m.structure("vfsmount", {{"mnt_root", "dentry *"}, {"mnt_sb", "super_block *"}});
  m.structure("mount", {{"mnt_parent", "mount *"},
                        {"mnt_mountpoint", "dentry *"},
                        {"mnt", "vfsmount"},
                        {"mnt_list", "list_head"},
                        {"mnt_id", "s32"}});
  m.structure("mnt_namespace", {{"list", "list_head"}, {"mounts", "u32"}});
  m.structure("nsproxy", {{"mnt_ns", "mnt_namespace *"}});
  test::describe_tasks(m, {{"nsproxy", "nsproxy *"}});
  const VirtAddr space = m.object("mnt_namespace"), proxy = m.object("nsproxy"),
                 task = test::put_task(m, 1, "init");
  const VirtAddr dentry = m.object("dentry"), super = m.object("super_block"), one = m.object("mount"),
                 cursor = m.object("mount");
  m.set(dentry, "dentry", "d_parent", dentry.value);
  m.set(dentry, "dentry", "d_name.len", 1);
  m.set(dentry, "dentry", "d_name.name", m.string("/").value);
  m.set(one, "mount", "mnt.mnt_root", dentry.value);
  m.set(one, "mount", "mnt.mnt_sb", super.value);
  m.set(one, "mount", "mnt_parent", one.value);
  m.machine.put_list(m.at(space, "mnt_namespace", "list"),
                     {m.at(one, "mount", "mnt_list"), m.at(cursor, "mount", "mnt_list")});
  m.set(proxy, "nsproxy", "mnt_ns", space.value);
  m.set(task, "task_struct", "nsproxy", proxy.value);
  m.open();
  const Mounts found = read_mounts(m.types(), task);
  ASSERT_EQ(1u, found.mounts.size()) << "the cursor of a reader of /proc/mounts is no mount";
  EXPECT_EQ("/", found.mounts[0].target);
}

class NetTest : public testing::Test {
 protected:
  NetTest() {
    m.structure("possible_net_t", {{"net", "net *"}});
    m.structure("sock_common", {{"skc_daddr", "u32"},
                                {"skc_rcv_saddr", "u32"},
                                {"skc_dport", "u16"},
                                {"skc_num", "u16"},
                                {"skc_family", "u16"},
                                {"skc_state", "u8"},
                                {"skc_net", "possible_net_t"},
                                {"skc_v6_daddr", "u8[16]"},
                                {"skc_v6_rcv_saddr", "u8[16]"},
                                {"skc_nulls_node", "hlist_node"},
                                {"skc_node", "hlist_node"}});
    m.structure("sk_backlog", {{"rmem_alloc", "u32"}});
    m.structure("sock", {{"__sk_common", "sock_common"},
                         {"sk_type", "u16"},
                         {"sk_protocol", "u16"},
                         {"sk_backlog", "sk_backlog"},
                         {"sk_wmem_queued", "s32"}});
    m.structure("inet_ehash_bucket", {{"chain", "hlist_head"}});
    m.structure("inet_listen_hashbucket", {{"lock", "u32"}, {"nulls_head", "hlist_head"}});
    m.structure("inet_hashinfo", {{"ehash", "inet_ehash_bucket *"},
                                  {"ehash_mask", "u32"},
                                  {"lhash2_mask", "u32"},
                                  {"lhash2", "inet_listen_hashbucket *"}});
    m.structure("udp_hslot", {{"head", "hlist_head"}, {"count", "s32"}});
    m.structure("udp_table", {{"hash", "udp_hslot *"}, {"mask", "u32"}});
    m.structure("in_ifaddr", {{"ifa_next", "in_ifaddr *"}, {"ifa_local", "u32"}, {"ifa_prefixlen", "u8"}});
    m.structure("in_device", {{"ifa_list", "in_ifaddr *"}});
    m.structure("inet6_ifaddr", {{"addr", "u8[16]"}, {"prefix_len", "u32"}, {"if_list", "list_head"}});
    m.structure("inet6_dev", {{"addr_list", "list_head"}});
    m.structure("net_device", {{"name", "char[16]"},
                               {"dev_list", "list_head"},
                               {"state", "u64"},
                               {"ifindex", "s32"},
                               {"mtu", "u32"},
                               {"flags", "u32"},
                               {"operstate", "u8"},
                               {"addr_len", "u8"},
                               {"dev_addr", "u8 *"},
                               {"netdev_ops", "void *"},
                               {"ip_ptr", "in_device *"},
                               {"ip6_ptr", "inet6_dev *"}});
    m.structure("net", {{"list", "list_head"}, {"dev_base_head", "list_head"}});
    list = m.variable("net_namespace_list", "list_head");
    net = m.variable("init_net", "net");
    m.machine.put_list(list, {m.at(net, "net", "list")});
    device = m.object("net_device");
    m.machine.put_text(m.at(device, "net_device", "name"), "eth0");
    m.machine.put_list(m.at(net, "net", "dev_base_head"), {m.at(device, "net_device", "dev_list")});
    m.set(device, "net_device", "ifindex", 2);
    m.set(device, "net_device", "flags", 0x1003);
    m.set(device, "net_device", "operstate", 6);
    m.set(device, "net_device", "addr_len", 6);
    const VirtAddr mac = m.machine.alloc(8);
    m.machine.put(mac, std::vector<uint8_t>{0x52, 0x54, 0, 0x12, 0x34, 0x56});
    m.set(device, "net_device", "dev_addr", mac.value);
  }
  Network read(bool sockets = true) {
    m.open();
    return read_network(m.types(), sockets);
  }
  ObjectMachine m;
  VirtAddr list, net, device;
};

TEST_F(NetTest, InterfacesAndTheirAddresses) {
  const VirtAddr four = m.object("in_device"), address = m.object("in_ifaddr"), six = m.object("inet6_dev"),
                 address6 = m.object("inet6_ifaddr");
  m.set(address, "in_ifaddr", "ifa_local", 0x0f02000a);
  m.set(address, "in_ifaddr", "ifa_prefixlen", 24);
  m.set(four, "in_device", "ifa_list", address.value);
  m.machine.put(m.at(address6, "inet6_ifaddr", "addr"),
                std::vector<uint8_t>{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  m.set(address6, "inet6_ifaddr", "prefix_len", 64);
  m.machine.put_list(m.at(six, "inet6_dev", "addr_list"), {m.at(address6, "inet6_ifaddr", "if_list")});
  m.set(device, "net_device", "ip_ptr", four.value);
  m.set(device, "net_device", "ip6_ptr", six.value);
  Network found = read(false);
  EXPECT_TRUE(found.problems.empty());
  ASSERT_EQ(1u, found.namespaces.size());
  EXPECT_TRUE(found.namespaces[0].initial);
  const Interface one = found.namespaces[0].interfaces.at(0);
  EXPECT_EQ("eth0", one.name);
  EXPECT_EQ("up", one.state);
  EXPECT_EQ(true, one.carrier);
  EXPECT_EQ("52:54:00:12:34:56", one.hardware_address);
  EXPECT_EQ("UP,BROADCAST,MULTICAST", interface_flags(*one.flags));
  ASSERT_EQ(2u, one.addresses.size());
  EXPECT_EQ("10.0.2.15", one.addresses[0].address);
  EXPECT_EQ(24u, one.addresses[0].prefix_bits);
  EXPECT_EQ("fe80::1", one.addresses[1].address);
  TextRedactor replace;
  redact(found, RedactionLevel::normal, replace);
  EXPECT_EQ("mac-1", found.namespaces[0].interfaces[0].hardware_address);
  EXPECT_EQ("ip4-1", found.namespaces[0].interfaces[0].addresses[0].address);
  EXPECT_EQ("ip6-1", found.namespaces[0].interfaces[0].addresses[1].address);
  EXPECT_EQ("eth0", found.namespaces[0].interfaces[0].name);
  m.set(address, "in_ifaddr", "ifa_next", address.value);
  EXPECT_EQ(1u, read(false).problems.size());
}

TEST_F(NetTest, SocketsOfTheTables) {
  const VirtAddr hashes = m.variable("tcp_hashinfo", "inet_hashinfo"),
                 udp = m.variable("udp_table", "udp_table");
  const VirtAddr ehash = m.machine.alloc(64), lhash = m.machine.alloc(64), slots = m.machine.alloc(64);
  m.set(hashes, "inet_hashinfo", "ehash", ehash.value);
  m.set(hashes, "inet_hashinfo", "ehash_mask", 3);
  m.set(hashes, "inet_hashinfo", "lhash2", lhash.value);
  m.set(hashes, "inet_hashinfo", "lhash2_mask", 1);
  m.set(udp, "udp_table", "hash", slots.value);
  m.set(udp, "udp_table", "mask", 1);
  const auto socket = [&](uint64_t family, uint64_t type, uint64_t protocol, uint64_t state, uint64_t port,
                          uint64_t remote) {
    const VirtAddr at = m.object("sock");
    m.set(at, "sock", "__sk_common.skc_family", family);
    m.set(at, "sock", "__sk_common.skc_state", state);
    m.set(at, "sock", "__sk_common.skc_num", port);
    m.set(at, "sock", "__sk_common.skc_dport", (remote & 0xff) << 8 | remote >> 8);
    m.set(at, "sock", "__sk_common.skc_rcv_saddr", 0x0100007f);
    m.set(at, "sock", "__sk_common.skc_daddr", 0x0202000a);
    m.set(at, "sock", "__sk_common.skc_net.net", net.value);
    m.set(at, "sock", "sk_type", type);
    m.set(at, "sock", "sk_protocol", protocol);
    return at;
  };
  const auto nulls = [&](VirtAddr head, const std::vector<VirtAddr>& sockets, const std::string& link) {
    VirtAddr at = head;
    for (const VirtAddr one : sockets) {
      const VirtAddr node = m.at(one, "sock", "__sk_common." + link);
      m.machine.put_u64(at, node.value);
      at = node;
    }
    m.machine.put_u64(at, 1);
  };
  for (uint64_t i = 0; i < 4; ++i) m.machine.put_u64(ehash + i * 8, i << 1 | 1);
  m.machine.put_u64(lhash + 16 + 8, 1);
  const VirtAddr listening = socket(10, 1, 6, 10, 22, 0), established = socket(2, 1, 6, 1, 22, 4711),
                 waiting = socket(2, 1, 6, 6, 80, 5);
  nulls(lhash + 8, {listening}, "skc_nulls_node");
  nulls(ehash + 16, {established, waiting}, "skc_nulls_node");
  const VirtAddr datagram = socket(2, 2, 17, 7, 53, 0);
  m.machine.put_u64(slots + 16, m.at(datagram, "sock", "__sk_common.skc_node").value);
  const Network found = read();
  EXPECT_TRUE(found.problems.empty());
  const auto& sockets = found.namespaces.at(0).sockets;
  ASSERT_EQ(4u, sockets.size());
  EXPECT_EQ("[::]:22", sockets[0].local);
  EXPECT_EQ("LISTEN", sockets[0].state);
  EXPECT_EQ("127.0.0.1:22", sockets[1].local);
  EXPECT_EQ("10.0.2.2:4711", sockets[1].remote);
  EXPECT_EQ("ESTABLISHED", sockets[1].state);
  EXPECT_EQ("TIME_WAIT", sockets[2].state);
  EXPECT_EQ("tcp", sockets[2].protocol);
  EXPECT_FALSE(sockets[2].receive_bytes);
  EXPECT_EQ("udp", sockets[3].protocol);
  EXPECT_EQ("", sockets[3].state);
  // A chain that leads back, and counts that are no counts.
  m.machine.put_u64(m.at(waiting, "sock", "__sk_common.skc_nulls_node"),
                    m.at(established, "sock", "__sk_common.skc_nulls_node").value);
  m.set(udp, "udp_table", "mask", 0xffffffff);
  const Network damaged = read();
  EXPECT_EQ(2u, damaged.problems.size());
  EXPECT_EQ(3u, damaged.namespaces.at(0).sockets.size());
}

TEST_F(NetTest, WithoutTablesItIsSaid) {
  EXPECT_EQ(1u, read().problems.size());
  m.machine.put_u64(list, 0);
  EXPECT_THROW(read(), Error);
}

}  // namespace
}  // namespace kdk

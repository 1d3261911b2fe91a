/* test_resources.c - memory and CPUs under the limits of control groups, from folders that stand for /proc and /sys. */
#include "base/resources.h"
#include "scratch.h"
#include <limits.h>
#include <sys/stat.h>

/* Writes a file of the fake machine, with its folders. */
static void put(const char *name, const char *text)
{
	char path[4096];
	snprintf(path, sizeof path, "%s%s", scratch, name);
	for (char *c = path + strlen(scratch) + 1; (c = strchr(c, '/')); *c++ = '/') {
		*c = 0;
		mkdir(path, 0777);
	}
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static const char one_gib[] = "MemTotal:        4000000 kB\nMemAvailable:    1048576 kB\n";
enum { MIB = 1 << 20 };

static void test_without_groups(void **state)
{
	(void)state;
	assert_true(memory_available_under(scratch) == UINT64_MAX);
	assert_int_equal(cpu_quota_under(scratch), INT_MAX);
	put("/proc/meminfo", one_gib);
	assert_int_equal(memory_available_under(scratch), 1024 * MIB);
	assert_true(usable_cpus() >= 1);
	assert_true(memory_available() > 0);
}

/* Version 2: the group itself has no limit, the one around it has, and a looser one around that. */
static void test_second_version_nested(void **state)
{
	(void)state;
	put("/proc/meminfo", one_gib);
	put("/proc/self/cgroup", "0::/user.slice/mine.scope/inner\n");
	put("/proc/self/mountinfo", "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
	put("/sys/fs/cgroup/user.slice/memory.max", "536870912\n");
	put("/sys/fs/cgroup/user.slice/memory.current", "0\n");
	put("/sys/fs/cgroup/user.slice/mine.scope/memory.max", "104857600\n");
	put("/sys/fs/cgroup/user.slice/mine.scope/memory.current", "50331648\n");
	put("/sys/fs/cgroup/user.slice/mine.scope/memory.stat", "anon 1\ninactive_file 8388608\nactive_file 3\n");
	put("/sys/fs/cgroup/user.slice/mine.scope/inner/memory.max", "max\n");
	put("/sys/fs/cgroup/user.slice/mine.scope/inner/memory.current", "50331648\n");
	assert_int_equal(memory_available_under(scratch), (100 - 48 + 8) * MIB);

	put("/sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n");
	put("/sys/fs/cgroup/user.slice/mine.scope/cpu.max", "max 100000\n");
	assert_int_equal(cpu_quota_under(scratch), 2);
}

/* Version 1, each controller in a tree of its own; a group that uses more than it may leaves nothing. */
static void test_first_version(void **state)
{
	(void)state;
	put("/proc/meminfo", one_gib);
	put("/proc/self/cgroup", "9:name=systemd:/\n4:memory:/job/step\n2:cpu,cpuacct:/job\n0::/\n");
	put("/proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
	                            "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
	                            "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
	put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "62914560\n");
	put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "20971520\n");
	put("/sys/fs/cgroup/memory/job/memory.stat", "cache 1\ninactive_file 0\ntotal_inactive_file 4194304\n");
	put("/sys/fs/cgroup/memory/job/step/memory.limit_in_bytes", "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/job/step/memory.usage_in_bytes", "20971520\n");
	assert_int_equal(memory_available_under(scratch), (60 - 20 + 4) * MIB);
	put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "73400320\n");
	assert_int_equal(memory_available_under(scratch), 0);

	put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
	assert_int_equal(cpu_quota_under(scratch), INT_MAX);
	put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "50000\n");
	assert_int_equal(cpu_quota_under(scratch), 1);
}

/* A container that sees its own part of the tree: the mount's root is its group, and what binds it from outside stands
 * in memory.stat. */
static void test_in_a_container(void **state)
{
	(void)state;
	put("/proc/meminfo", one_gib);
	put("/proc/self/cgroup", "4:memory:/docker/abc/task\n");
	put("/proc/self/mountinfo", "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1048576\n");
	put("/sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 33554432\ntotal_inactive_file 0\n");
	put("/sys/fs/cgroup/memory/task/memory.limit_in_bytes", "25165824\n");
	put("/sys/fs/cgroup/memory/task/memory.usage_in_bytes", "1048576\n");
	assert_int_equal(memory_available_under(scratch), 23 * MIB);
	put("/sys/fs/cgroup/memory/task/memory.limit_in_bytes", "67108864\n");
	assert_int_equal(memory_available_under(scratch), 31 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = { IN_SCRATCH(test_without_groups), IN_SCRATCH(test_second_version_nested),
		IN_SCRATCH(test_first_version), IN_SCRATCH(test_in_a_container) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

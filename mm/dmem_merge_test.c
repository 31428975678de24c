// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the merge of a page: what it means, by examples. The
 * exhaustive and random ones run in user space: tools/testing/dmem.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "dmem_merge.h"

#define EXAMPLE_SIZE	16

/*
 * One letter a byte. The snapshot is all dots; "x" in @conflict is a byte in
 * conflict. @keep and @take are the caller's page after the merge.
 */
struct example {
	const char *what;
	unsigned int granule, from, to;
	const char *child, *caller, *conflict, *keep, *take;
};

static const struct example examples[] = {
	{
		.what = "nobody writes",
		.granule = 1, .from = 0, .to = 16,
		.child		= "................",
		.caller		= "................",
		.conflict	= "................",
		.keep		= "................",
		.take		= "................",
	}, {
		.what = "the child's changes come, the caller's stay",
		.granule = 1, .from = 0, .to = 16,
		.child		= "c......cc......c",
		.caller		= ".pp..........pp.",
		.conflict	= "................",
		.keep		= "cpp....cc....ppc",
		.take		= "cpp....cc....ppc",
	}, {
		.what = "a whole word comes",
		.granule = 1, .from = 0, .to = 16,
		.child		= "........cccccccc",
		.caller		= "p...............",
		.conflict	= "................",
		.keep		= "p.......cccccccc",
		.take		= "p.......cccccccc",
	}, {
		.what = "both write one byte",
		.granule = 1, .from = 0, .to = 16,
		.child		= ".ccc............",
		.caller		= "..p.............",
		.conflict	= "..x.............",
		.keep		= ".cpc............",
		.take		= ".ccc............",
	}, {
		.what = "both write the same value",
		.granule = 1, .from = 0, .to = 16,
		.child		= "...v............",
		.caller		= "...v............",
		.conflict	= "...x............",
		.keep		= "...v............",
		.take		= "...v............",
	}, {
		.what = "neighbours mix at granule 1",
		.granule = 1, .from = 0, .to = 16,
		.child		= "c...............",
		.caller		= ".p..............",
		.conflict	= "................",
		.keep		= "cp..............",
		.take		= "cp..............",
	}, {
		.what = "neighbours conflict at granule 2",
		.granule = 2, .from = 0, .to = 16,
		.child		= "c.c.............",
		.caller		= ".p..............",
		.conflict	= "xx..............",
		.keep		= ".pc.............",
		.take		= "c.c.............",
	}, {
		.what = "a granule is aligned",
		.granule = 2, .from = 0, .to = 16,
		.child		= ".c..............",
		.caller		= "..p.............",
		.conflict	= "................",
		.keep		= ".cp.............",
		.take		= ".cp.............",
	}, {
		.what = "granule 4",
		.granule = 4, .from = 0, .to = 16,
		.child		= "c......c....c...",
		.caller		= "...pp..........p",
		.conflict	= "xxxxxxxx....xxxx",
		.keep		= "...pp..........p",
		.take		= "c......c....c...",
	}, {
		.what = "granule 8, two runs become one",
		.granule = 8, .from = 0, .to = 16,
		.child		= "c..............c",
		.caller		= ".......pp.......",
		.conflict	= "xxxxxxxxxxxxxxxx",
		.keep		= ".......pp.......",
		.take		= "c..............c",
	}, {
		.what = "what lies outside the range does not count",
		.granule = 8, .from = 3, .to = 13,
		.child		= "ccc.c........ccc",
		.caller		= "pp.........p.p.p",
		.conflict	= "................",
		.keep		= "pp..c......p.p.p",
		.take		= "pp..c......p.p.p",
	}, {
		.what = "a granule across the border is clipped",
		.granule = 8, .from = 3, .to = 13,
		.child		= "cc.c........c.cc",
		.caller		= "p......pp.....p.",
		.conflict	= "...xxxxxxxxxx...",
		.keep		= "p......pp.....p.",
		.take		= "p..c........c.p.",
	}, {
		.what = "one byte in the middle of a word",
		.granule = 1, .from = 5, .to = 6,
		.child		= "....ccc.........",
		.caller		= "....p.p.........",
		.conflict	= "................",
		.keep		= "....pcp.........",
		.take		= "....pcp.........",
	}, {
		.what = "an empty range",
		.granule = 1, .from = 5, .to = 5,
		.child		= "cccccccccccccccc",
		.caller		= "pppppppppppppppp",
		.conflict	= "................",
		.keep		= "pppppppppppppppp",
		.take		= "pppppppppppppppp",
	},
};

static void example_to_desc(const struct example *ex, char *desc)
{
	strscpy(desc, ex->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(example, examples, example_to_desc);

/* Three pages; kunit frees them. */
struct pages {
	char *child, *snap, *caller;
};

static struct pages new_pages(struct kunit *test)
{
	struct pages p;

	p.child = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	p.snap = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	p.caller = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p.child);
	KUNIT_ASSERT_NOT_NULL(test, p.snap);
	KUNIT_ASSERT_NOT_NULL(test, p.caller);
	return p;
}

/* The example sits at offset @at of pages that are equal otherwise. */
static struct pages example_pages(struct kunit *test, const struct example *ex,
				  unsigned int at)
{
	struct pages p = new_pages(test);

	memset(p.snap + at, '.', EXAMPLE_SIZE);
	memcpy(p.child + at, ex->child, EXAMPLE_SIZE);
	memcpy(p.caller + at, ex->caller, EXAMPLE_SIZE);
	return p;
}

/* At the first, the last, and some other place of the page. */
static const unsigned int places[] = {
	0, 1000, PAGE_SIZE - EXAMPLE_SIZE,
};

static void test_conflicts(struct kunit *test)
{
	const struct example *ex = test->param_value;
	struct dmem_rules rules = { .granule = ex->granule };
	char found[EXAMPLE_SIZE + 1];
	unsigned int i, from, start, end;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		unsigned int at = places[i];
		struct pages p = example_pages(test, ex, at);

		memset(found, '.', EXAMPLE_SIZE);
		found[EXAMPLE_SIZE] = 0;
		for (from = at + ex->from;
		     dmem_page_conflict(p.child, p.snap, p.caller, from,
					at + ex->to, &rules, &start, &end);
		     from = end) {
			KUNIT_ASSERT_GE(test, start, from);
			KUNIT_ASSERT_GT(test, end, start);
			KUNIT_ASSERT_LE(test, end, at + ex->to);
			memset(found + start - at, 'x', end - start);
		}
		KUNIT_EXPECT_STREQ(test, found, ex->conflict);
	}
}

static void expect_merge(struct kunit *test, const struct example *ex,
			 enum dmem_policy policy, const char *result)
{
	struct dmem_rules rules = { .granule = ex->granule, .policy = policy };
	unsigned int i, j, nr, differ = 0;

	for (j = 0; j < EXAMPLE_SIZE; j++)
		differ += ex->caller[j] != result[j];
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		unsigned int at = places[i];
		struct pages p = example_pages(test, ex, at);
		struct pages before = example_pages(test, ex, at);

		nr = dmem_page_merge(p.caller, p.child, p.snap, at + ex->from,
				     at + ex->to, &rules);
		KUNIT_EXPECT_EQ(test, nr, differ);
		memcpy(before.caller + at, result, EXAMPLE_SIZE);
		KUNIT_EXPECT_MEMEQ(test, p.caller, before.caller, PAGE_SIZE);
		KUNIT_EXPECT_MEMEQ(test, p.child, before.child, PAGE_SIZE);
		KUNIT_EXPECT_MEMEQ(test, p.snap, before.snap, PAGE_SIZE);
	}
}

static void test_keep(struct kunit *test)
{
	const struct example *ex = test->param_value;

	expect_merge(test, ex, DMEM_KEEP, ex->keep);
	expect_merge(test, ex, DMEM_REPORT, ex->keep);
}

static void test_take(struct kunit *test)
{
	const struct example *ex = test->param_value;

	expect_merge(test, ex, DMEM_TAKE, ex->take);
}

static void test_changed(struct kunit *test)
{
	struct pages p = new_pages(test);
	unsigned int i;

	KUNIT_EXPECT_EQ(test, PAGE_SIZE,
			dmem_page_changed(p.child, p.snap, 0, PAGE_SIZE));
	for (i = 0; i < PAGE_SIZE; i++) {
		p.child[i] = 1;
		KUNIT_EXPECT_EQ(test, i,
				dmem_page_changed(p.child, p.snap, 0, PAGE_SIZE));
		KUNIT_EXPECT_EQ(test, i,
				dmem_page_changed(p.child, p.snap, i, i + 1));
		KUNIT_EXPECT_EQ(test, i,
				dmem_page_changed(p.child, p.snap, 0, i));
		KUNIT_EXPECT_EQ(test, PAGE_SIZE,
				dmem_page_changed(p.child, p.snap, i + 1, PAGE_SIZE));
		KUNIT_EXPECT_EQ(test, round_up(i + 1, 8),
				dmem_page_changed_end(p.child, p.snap, i, PAGE_SIZE));
		KUNIT_EXPECT_EQ(test, i + 1,
				dmem_page_changed_end(p.child, p.snap, i, i + 1));
		p.child[0] = 1;
		KUNIT_EXPECT_EQ(test, round_up(i + 1, 8),
				dmem_page_changed_end(p.child, p.snap, 0, PAGE_SIZE));
		p.child[0] = 0;
		p.child[i] = 0;
	}
}

/* One run covers the page; then one byte less of it conflicts. */
static void test_whole_page(struct kunit *test)
{
	struct dmem_rules rules = { .granule = 1 };
	struct pages p = new_pages(test);
	unsigned int start, end;

	memset(p.child, 1, PAGE_SIZE);
	memset(p.caller, 2, PAGE_SIZE);
	KUNIT_ASSERT_TRUE(test, dmem_page_conflict(p.child, p.snap, p.caller, 0,
						   PAGE_SIZE, &rules, &start, &end));
	KUNIT_EXPECT_EQ(test, start, 0);
	KUNIT_EXPECT_EQ(test, end, PAGE_SIZE);
	p.caller[2000] = 0;
	KUNIT_ASSERT_TRUE(test, dmem_page_conflict(p.child, p.snap, p.caller, 0,
						   PAGE_SIZE, &rules, &start, &end));
	KUNIT_EXPECT_EQ(test, start, 0);
	KUNIT_EXPECT_EQ(test, end, 2000);
	KUNIT_EXPECT_EQ(test, 1, dmem_page_merge(p.caller, p.child, p.snap, 0,
						 PAGE_SIZE, &rules));
	KUNIT_EXPECT_EQ(test, 1, p.caller[2000]);
}

/* Each value of each byte, between zeros and between ones. */
static void test_byte_mask(struct kunit *test)
{
	unsigned int at, value;

	for (at = 0; at < 64; at += 8) {
		u64 byte = 0xffULL << at;

		for (value = 0; value < 256; value++) {
			u64 word = (u64)value << at;
			u64 want = value ? byte : 0;

			KUNIT_EXPECT_EQ(test, dmem_byte_mask(word), want);
			KUNIT_EXPECT_EQ(test, dmem_byte_mask(word | ~byte),
					want | ~byte);
		}
	}
}

static void test_granule_mask(struct kunit *test)
{
	unsigned int g, i;

	for (g = 1; g <= 8; g *= 2) {
		u64 ones = g == 8 ? ~0ULL : (1ULL << (g * 8)) - 1;

		for (i = 0; i < 8; i++)
			KUNIT_EXPECT_EQ(test, ones << (i / g * g * 8),
					dmem_granule_mask(0xffULL << (i * 8), g));
		KUNIT_EXPECT_EQ(test, dmem_granule_mask(0, g), 0);
	}
}

static struct kunit_case dmem_merge_cases[] = {
	KUNIT_CASE(test_byte_mask),
	KUNIT_CASE(test_granule_mask),
	KUNIT_CASE(test_changed),
	KUNIT_CASE_PARAM(test_conflicts, example_gen_params),
	KUNIT_CASE_PARAM(test_keep, example_gen_params),
	KUNIT_CASE_PARAM(test_take, example_gen_params),
	KUNIT_CASE(test_whole_page),
	{}
};

static struct kunit_suite dmem_merge_suite = {
	.name = "dmem_merge",
	.test_cases = dmem_merge_cases,
};

kunit_test_suite(dmem_merge_suite);

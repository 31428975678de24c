// SPDX-License-Identifier: GPL-2.0-only
#include "common.h"
TEST(version)
{
	NEED_CALLS();
	EXPECT_EQ(DET_VERSION, dput_raw(0, NULL, 0));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * C++ in members: exceptions, streams, containers, algorithms, static data of functions.
 */
#include <algorithm>
#include <iostream>
#include <map>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <malloc.h>

#include "check.h"

static std::vector<std::string> said[2];
static std::map<int, std::string> *made[2];

static int thrown(int depth)
{
	std::string on_stack("destroyed on the way");

	if (depth == 0)
		throw std::runtime_error("from the depth");
	return thrown(depth - 1) + on_stack.size();
}

static const std::string &first_used(unsigned int id)
{
	static thread_local std::string own = "own of " + std::to_string(id);

	return own;
}

static void use_cxx(void *)
{
	unsigned int id = det_id();
	std::vector<int> v(10000);
	std::ostringstream text;

	try {
		thrown(5);
	} catch (const std::exception &e) {
		said[id].push_back(e.what());
	}
	std::iota(v.rbegin(), v.rend(), 0);
	std::sort(v.begin(), v.end());
	said[id].push_back(std::is_sorted(v.begin(), v.end()) ? "sorted" : "not sorted");
	text << 3.5 << ' ' << std::hex << 255;
	said[id].push_back(text.str());
	said[id].push_back(first_used(id));
	made[id] = new std::map<int, std::string>;
	for (int i = 0; i < 100; i++)
		(*made[id])[i * 37 % 100] = std::to_string(i);
	std::cout << "cout of " << id << std::endl;
	std::cerr << "cerr of " << id << '\n';
}

static void both(void)
{
	det_parallel(2, use_cxx, nullptr);
	for (int i = 0; i < 2; i++) {
		for (const auto &s : said[i])
			std::cout << s << ", ";
		std::cout << made[i]->size() << (*made[i])[37] << '\n';
		delete made[i];
	}
}

/* A thread-local vector: each member begins with an empty one, and leaves nothing. */
static thread_local std::vector<int> scratch;

static void use_scratch(void *arg)
{
	bool *fresh = static_cast<bool *>(arg);

	fresh[det_id()] = scratch.empty();
	scratch.assign(100000, det_id());
}

static void scratching(void)
{
	bool fresh[4] = {};
	size_t before, right = 0;

	scratch.assign(1000, 7);
	det_parallel(4, use_scratch, fresh);
	before = mallinfo2().uordblks;
	for (int i = 0; i < 20; i++)
		det_parallel(4, use_scratch, fresh);
	before = mallinfo2().uordblks - before;
	for (int i = 0; i < 1000; i++)
		right += scratch[i] == 7;
	std::cout << fresh[0] << fresh[3] << ' ' << right << ' ' << before << '\n';
}

static void *uncaught(void *)
{
	throw 5;
}

static void throwing(void)
{
	det_t t;

	det_create(&t, uncaught, nullptr);
	det_join(t, nullptr);
}

int main()
{
	if (no_spaces())
		return 0;
	CHECK(ends(both, 0, "cout of 0\n"));
	CHECK(ends(both, 0, "cerr of 1\n"));
	CHECK(ends(both, 0, "from the depth, sorted, 3.5 ff, own of 0, 1001\n"
		   "from the depth, sorted, 3.5 ff, own of 1, 1001\n"));
	if (!is_static())
		CHECK(ends(scratching, 0, "11 1000 0\n"));
	CHECK(ends(throwing, 66, "was stopped\n"));
	return verdict();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A C++ program with as many members as its argument says, all there at the same time,
 * each with containers, streams and an exception of its own: what a further one needs
 * of memory ("make bench").
 */
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <det.h>

namespace {

void *member(void *arg)
{
	auto *sum = static_cast<unsigned long *>(arg);
	std::map<std::string, unsigned long> words;
	std::vector<unsigned long> values;

	for (unsigned long i = 0; i < 1000; i++) {
		std::ostringstream word;

		word << i % 100;
		words[word.str()] += i;
		values.push_back(i);
	}
	try {
		values.at(values.size());
	} catch (const std::out_of_range &) {
		*sum = words["7"] + values.size();
	}
	return nullptr;
}

} // namespace

int main(int argc, char **argv)
{
	const long n = argc == 2 ? std::strtol(argv[1], nullptr, 10) : 0;

	if (n < 1 || n > 1000) {
		std::cerr << "usage: det-members N, 1 to 1000\n";
		return 2;
	}

	std::vector<unsigned long> sum(n);
	std::vector<det_t> made(n);

	for (long i = 0; i < n; i++) {
		const int err = det_create(&made[i], member, &sum[i]);

		if (err) {
			std::cerr << "det-members: no member " << i << ": error " << err << '\n';
			return 1;
		}
	}
	for (long i = 0; i < n; i++)
		if (det_join(made[i], nullptr) || sum[i] != sum[0])
			return 1;
	std::cout << sum[0] << '\n';
	return 0;
}

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What "make help" says.

cat <<'END'
Deterministic processes for Linux 6.12: a patched kernel in a QEMU guest.

  make run              fetch, patch, build, boot, and run the main job
       FILE=path        sort this file (default: 2 MB of text of the kernel source)
       FULL=1           the default input with 20 MB
       MD5=hex          search the text with this MD5 sum: of letters a to z,
       MD5_LENGTH=n     at most n of them (default 4)
  make demo             a minute: a program with two mistakes, with pthreads, in spaces,
                        with ThreadSanitizer, and repaired
       FILE=path        count the words of this text (default: of the kernel source)
  make test             all tests
       TEST=part        one part alone, such as TEST=selftests-2 or TEST=host
  make exec CMD='./mine args'
                        run a program of the host's in the guest, in this folder;
       DIR=path         this folder can be written from the guest
  make shell            a shell in the guest; leave it with exit or Ctrl-]
  make guest            build/guest/deterministic.run: kernel, initramfs and programs
                        in one file that needs only QEMU

For those who work on it:
  make tree             build/linux: a patched tree for an ordinary build
  make kernel           only the kernel        make kernel-debug  the debug kernel
  make user             only what runs in the guest
  make one TEST=name    one selftest alone, such as TEST=merge_test; DEBUG=1
  make soak MINUTES=30 SEED=1
                        what Linux does to memory, done to spaces; DEBUG=1
  make prove RUNS=1000 SEED=1
                        each program so often, with all disturbed that must not matter:
                        one result
  make test-fuzzer      the fuzzer finds each of the mistakes that are made for it
  make test-survival    so does the survival test
  make linux-selftests  Linux's own, of mm, seccomp and the like: as on the stock kernel
  make cost             what other programs pay for the feature, in instructions
  make bench            what spaces cost, in instructions and time: a table, build/bench
       FULL=1           with the largest sizes
       PROFILE=name     instead, where the instructions of one operation go, by function
  make bench-accept     its instructions become those that make test compares with
  make gdb              boot and wait for gdb
  make series           build/series: format-patch files for git am
  make series-check     each of them compiles by itself
  make off-check        with CONFIG_DETERMINISTIC=n the kernel is the stock one
  make check            checkpatch, sparse, W=1, kernel-doc
  make compile_commands build/compile_commands.json for clangd
  make fetch            all that comes from a network, and nothing else
  make clean            remove what was built; downloads and the tree stay
  make distclean        remove build/

  CPUS=n MEM=2G ACCEL=auto|kvm|tcg     the guest's (default: 2 CPUs, 2G, auto)
  KSRC=path             your own Linux 6.12 tree or tarball: nothing is fetched
  YES=1                 install missing packages without a question
  JOBS=n                compile n files at a time (default: one per CPU)
END

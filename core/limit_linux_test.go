package core_test

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// limitVariable bounds the size of files the child may write, in bytes: what a
// full disk does to a large file.
const limitVariable = "VERIFILY_TEST_FILE_LIMIT"

func limitFileSize() {
	n, err := strconv.ParseUint(os.Getenv(limitVariable), 10, 64)
	if err != nil {
		return
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
		panic(err)
	}
}

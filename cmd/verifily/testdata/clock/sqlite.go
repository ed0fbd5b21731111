package database

import (
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// TestClockSteps adds this file to the package that opens SQLite files: SQLite
// then reads the clock of package time, which steps.
func init() {
	tls := libc.NewTLS()
	defer tls.Close()
	vfs := (*sqlite3.Tsqlite3_vfs)(unsafe.Pointer(sqlite3.Xsqlite3_vfs_find(tls, 0)))
	clock := sqliteClock
	vfs.FxCurrentTimeInt64 = *(*uintptr)(unsafe.Pointer(&clock))
}

// sqliteClock writes the time as SQLite counts it: milliseconds since noon of
// November 24, 4714 B.C.
func sqliteClock(_ *libc.TLS, _, to uintptr) int32 {
	const to1970 = 24405875 * 8640000
	*(*int64)(unsafe.Pointer(to)) = to1970 + time.Now().UnixMilli()
	return sqlite3.SQLITE_OK
}

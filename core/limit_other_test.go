//go:build !linux

package core_test

func limitFileSize() {}

// Command asm writes the assembly of package tensor: products, packing and row
// kernels for AVX-512 and for AVX2 with FMA. Its output depends on nothing but
// this source, so `go generate ./core/tensor` reproduces the committed files
// byte for byte.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// files lists what is written: name.s and the Go declarations name.go.
var files = []struct {
	name  string
	write func(*build.Context)
}{
	{"gemm_avx512_amd64", func(c *build.Context) { tiles(c, avx512) }},
	{"gemm_avx2_amd64", func(c *build.Context) { tiles(c, avx2) }},
	{"pack_amd64", packing},
	{"few_amd64", fewRows},
	{"several_amd64", severalRows},
	{"rows_avx512_amd64", func(c *build.Context) { rowKernels(c, avx512) }},
	{"rows_avx2_amd64", func(c *build.Context) { rowKernels(c, avx2) }},
}

func main() {
	dir := flag.String("dir", ".", "folder to write to")
	flag.Parse()
	for _, f := range files {
		if err := generate(filepath.Join(*dir, f.name), f.write); err != nil {
			fmt.Fprintln(os.Stderr, "asm:", err)
			os.Exit(1)
		}
	}
}

func generate(path string, write func(*build.Context)) error {
	c := build.NewContext()
	write(c)
	f, err := c.Result()
	if err != nil {
		build.LogError(log.New(os.Stderr, "asm: ", 0), err, 0)
		return fmt.Errorf("build %s: %w", path, err)
	}
	if err := pass.Compile.Execute(f); err != nil {
		return fmt.Errorf("compile %s: %w", path, err)
	}
	config := printer.Config{Argv: []string{"go", "generate"}, Name: "core/tensor/asm", Pkg: "tensor"}
	for _, out := range []struct {
		suffix string
		print  printer.Printer
	}{{".s", printer.NewGoAsm(config)}, {".go", printer.NewStubs(config)}} {
		text, err := out.print.Print(f)
		if err != nil {
			return fmt.Errorf("print %s%s: %w", path, out.suffix, err)
		}
		if err := os.WriteFile(path+out.suffix, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

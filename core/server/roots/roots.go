// Package roots keeps the paths that strangers name inside a few folders.
//
// A path is followed the way the kernel follows it, one name at a time, and
// links are read before they are followed: what lies outside of the roots is
// told from the text of the path and of the links alone, and is never looked
// at. So an answer does not depend on what is outside, nor tells of it.
//
// Between the check of a path and its use another program may put a link in its
// place. Who may do that can write inside the roots already; it is as far as
// paths alone can go.
package roots

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// ErrOutside: the path leads, or may lead, out of the roots.
var ErrOutside = errors.New("outside of the allowed paths")

// ErrTooMany: the folder holds more than is looked through.
var ErrTooMany = errors.New("holds too many files")

// mostLinks is how many links a path may have, as on Linux.
const mostLinks = 40

// Set is some folders and all that is in them.
type Set struct {
	roots []root
	base  string // where relative paths start
}

// root is a folder under the name it was given and under that without links.
type root struct{ given, real string }

// New returns the set of some folders, which must exist. Relative paths start at
// the current folder.
func New(folders ...string) (*Set, error) {
	base, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	s := &Set{base: base}
	for _, folder := range folders {
		given, err := filepath.Abs(folder)
		if err != nil {
			return nil, err
		}
		real, err := filepath.EvalSymlinks(given)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(real)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, &fs.PathError{Op: "open", Path: folder, Err: syscall.ENOTDIR}
		}
		if r := (root{given, real}); !slices.Contains(s.roots, r) {
			s.roots = append(s.roots, r)
		}
	}
	return s, nil
}

// Folders lists the roots without links.
func (s *Set) Folders() []string {
	var out []string
	for _, r := range s.roots {
		if !slices.Contains(out, r.real) {
			out = append(out, r.real)
		}
	}
	return out
}

// Existing returns the path of what a path leads to, absolute and without links.
// The error is ErrOutside, or that of the operating system.
func (s *Set) Existing(path string) (string, error) {
	real, missing, err := s.follow(path)
	if err != nil {
		return "", err
	}
	if missing != "" {
		return "", &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return real, nil
}

// Creatable is like Existing for a path whose end need not be there yet. No part
// of it may be "..", unless what is before exists.
func (s *Set) Creatable(path string) (string, error) {
	real, missing, err := s.follow(path)
	if err != nil {
		return "", err
	}
	if slices.Contains(names(missing), "..") {
		return "", fmt.Errorf("%s: %w", path, ErrOutside)
	}
	return filepath.Join(real, missing), nil
}

// follow walks along a path as far as it exists. missing is the rest. A path with
// ".." must also stay in the roots as it reads without: who adds a name to it with
// filepath.Join takes the ".." out of the text, and behind a link that is another
// place.
func (s *Set) follow(path string) (real, missing string, err error) {
	if real, missing, err = s.walk(path); err != nil {
		return "", "", err
	}
	if slices.Contains(names(path), "..") {
		if _, _, err := s.walk(filepath.Clean(path)); errors.Is(err, ErrOutside) {
			return "", "", err
		}
	}
	return real, missing, nil
}

func (s *Set) walk(path string) (real, missing string, err error) {
	outside := func() (string, string, error) { return "", "", fmt.Errorf("%s: %w", path, ErrOutside) }
	if path == "" || strings.ContainsRune(path, 0) {
		return "", "", &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	at, rest, ok := s.enter(s.base, path)
	if !ok {
		return outside()
	}
	for links := 0; len(rest) > 0; {
		name := rest[0]
		if name == "." { // what is before it is a folder
			rest = rest[1:]
			continue
		}
		if name == ".." {
			at, rest = filepath.Dir(at), rest[1:]
			if !s.holds(at) {
				return outside()
			}
			continue
		}
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			return at, strings.Join(rest, string(filepath.Separator)), nil
		}
		if err != nil {
			return "", "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			if rest = rest[1:]; len(rest) > 0 && !info.IsDir() {
				return "", "", &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
			}
			at = next
			continue
		}
		if links++; links > mostLinks {
			return "", "", &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", "", err
		}
		var first []string
		if at, first, ok = s.enter(at, target); !ok {
			return outside()
		}
		rest = append(first, rest[1:]...)
	}
	return at, "", nil
}

// enter finds where the walk along a path starts: in the root that is the
// beginning of an absolute path, at the folder from for a relative one.
func (s *Set) enter(from, path string) (at string, rest []string, ok bool) {
	if !filepath.IsAbs(path) {
		if s.holds(from) {
			return from, names(path), true
		}
		path = from + string(filepath.Separator) + path // the current folder is no root
	}
	all := names(path)
	best := -1
	for _, r := range s.roots {
		for _, start := range []string{r.real, r.given} {
			prefix := names(start)
			if len(prefix) > best && len(prefix) <= len(all) && slices.Equal(prefix, all[:len(prefix)]) {
				best, at = len(prefix), r.real
			}
		}
	}
	if best < 0 {
		return "", nil, false
	}
	return at, all[best:], true
}

// holds says whether a path without links is in a root.
func (s *Set) holds(real string) bool {
	for _, r := range s.roots {
		if real == r.real || strings.HasPrefix(real, strings.TrimSuffix(r.real, string(filepath.Separator))+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// names cuts a path at its separators; it does not resolve "..", which means
// something else behind a link. A separator at the end, which only a folder may
// have before it, becomes a ".".
func names(path string) []string {
	all := strings.Split(path, string(filepath.Separator))
	out := slices.DeleteFunc(all[:len(all)-1:len(all)-1], func(s string) bool { return s == "" || s == "." })
	switch last := all[len(all)-1]; {
	case last != "" && last != ".":
		return append(out, last)
	case len(out) > 0:
		return append(out, ".")
	}
	return out
}

// Folder is Existing for a folder whose whole content will be read: every link
// in it must lead into the roots, and devices, pipes and sockets are refused.
// More than most entries are ErrTooMany.
func (s *Set) Folder(path string, most int) (string, error) {
	real, err := s.Existing(path)
	if err != nil {
		return "", err
	}
	if read, err := s.Existing(filepath.Clean(path)); err == nil && read != real { // see follow
		if err := s.content(read, most); err != nil {
			return "", err
		}
	}
	return real, s.content(real, most)
}

func (s *Set) content(real string, most int) error {
	seen := 0
	return filepath.WalkDir(real, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != real {
			return nil // gone since its folder was read
		}
		if err != nil {
			return err
		}
		if seen++; seen > most {
			return fmt.Errorf("%s %w", real, ErrTooMany)
		}
		switch kind := e.Type(); {
		case kind.IsDir(), kind.IsRegular():
			return nil
		case kind&fs.ModeSymlink == 0:
			return &fs.PathError{Op: "open", Path: path, Err: errNotRegular}
		}
		_, err = s.Existing(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // whoever reads it finds nothing
		}
		return err
	})
}

var errNotRegular = errors.New("not a regular file")

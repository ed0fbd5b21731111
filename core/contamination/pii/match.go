package pii

import (
	"strings"
)

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// isWord tells whether b continues a name or a number. Bytes of other scripts
// do not: 電話555-123-4567 has a number in it.
func isWord(b byte) bool { return isDigit(b) || isLetter(b) || b == '_' }

func isHex(b byte) bool { return isDigit(b) || b|0x20 >= 'a' && b|0x20 <= 'f' }

// leftFree tells whether what begins at stands on its own: it does not continue
// a name, a number, an amount or a reference such as #12.
func leftFree(s string, at int) bool {
	if at == 0 {
		return true
	}
	b := s[at-1]
	var before byte
	if at > 1 {
		before = s[at-2]
	}
	switch b {
	case '.', '-':
		return !isWord(before) && before != ')'
	case '/':
		return !isDigit(before)
	case '+', '#', '$':
		return false
	}
	return !isWord(b)
}

// rightFree is leftFree for what ends before end.
func rightFree(s string, end int) bool {
	if end >= len(s) {
		return true
	}
	b := s[end]
	var after byte
	if end+1 < len(s) {
		after = s[end+1]
	}
	switch b {
	case '.', '/':
		return !isDigit(after)
	case '-':
		return !isWord(after)
	case '+', '%':
		return false
	}
	return !isWord(b)
}

// email returns where the address around the @ at i ends, or 0.
func email(s string, i int) int {
	const maxLocal, maxDomain = 64, 253
	start := i
	for start > 0 && i-start <= maxLocal && isLocal(s[start-1]) {
		start--
	}
	local := s[start:i]
	for local != "" && strings.IndexByte(".%+-", local[0]) >= 0 {
		local = local[1:]
	}
	if local == "" || len(local) > maxLocal || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return 0
	}
	end := i + 1
	for end < len(s) && end-i <= maxDomain && (isDigit(s[end]) || isLetter(s[end]) || s[end] == '.' || s[end] == '-') {
		end++
	}
	if end-i > maxDomain {
		return 0
	}
	domain := strings.TrimRight(s[i+1:end], ".-")
	end = i + 1 + len(domain)
	if end < len(s) && (s[end] == '@' || s[end] == '_' && end+1 < len(s) && isWord(s[end+1])) || end+1 < len(s) && s[end] == ':' && local == "git" {
		return 0
	}
	last := strings.LastIndexByte(domain, '.')
	if last <= 0 || strings.HasPrefix(domain, "-") || strings.HasPrefix(domain, ".") ||
		strings.Contains(domain, "..") || strings.Contains(domain, ".-") || strings.Contains(domain, "-.") {
		return 0
	}
	top := domain[last+1:]
	if len(top) < 2 || len(top) > 24 {
		return 0
	}
	for k := range len(top) {
		if !isLetter(top[k]) {
			return 0
		}
	}
	switch strings.ToLower(top) {
	case "png", "jpg", "jpeg", "gif", "svg", "webp":
		return 0
	}
	return end
}

func isLocal(b byte) bool { return isWord(b) || strings.IndexByte(".%+-", b) >= 0 }

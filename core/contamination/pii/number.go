package pii

import (
	"net/netip"
	"strings"
)

// number looks for a pattern that begins at i, a digit, + or (, and returns
// where to go on.
func number(s string, i int, c *Counts) int {
	if leftFree(s, i) {
		if end := card(s, i); end > 0 {
			c.CreditCard++
			return end
		}
		if end := ssn(s, i); end > 0 {
			c.SSN++
			return end
		}
		if end := phone(s, i); end > 0 {
			c.Phone++
			return end
		}
		if end := ipv4(s, i); end > 0 {
			c.IP++
			return end
		}
		if end := ipv6(s, i); end > 0 {
			c.IP++
			return end
		}
	}
	i++
	for isDigit(s[i-1]) && i < len(s) && isDigit(s[i]) {
		i++ // nothing begins inside a group of digits
	}
	return i
}

// shape matches a pattern at i: d is a digit, s a separator, the same one each
// time; the rest stands for itself. It returns the end, or 0.
func shape(s string, i int, pattern, separators string) int {
	if len(s)-i < len(pattern) {
		return 0
	}
	var separator byte
	for k := range len(pattern) {
		b := s[i+k]
		switch p := pattern[k]; {
		case p == 'd':
			if !isDigit(b) {
				return 0
			}
		case p == 's' && separator == 0:
			if separator = b; strings.IndexByte(separators, b) < 0 {
				return 0
			}
		case p == 's':
			if b != separator {
				return 0
			}
		case p != b:
			return 0
		}
	}
	return i + len(pattern)
}

const maxCard = 19

// card matches the number of a payment card.
func card(s string, i int) int {
	if !isDigit(s[i]) {
		return 0
	}
	end := i
	for end < len(s) && end-i <= maxCard && isDigit(s[end]) {
		end++
	}
	if end-i == 4 {
		for _, pattern := range [...]string{"ddddsddddsddddsdddd", "ddddsddddddsddddd", "ddddsddddddsdddd"} {
			if e := shape(s, i, pattern, " -"); e > 0 && rightFree(s, e) && isCard(s[i:e]) {
				return e
			}
		}
		return 0
	}
	if end-i > maxCard || !rightFree(s, end) || !isCard(s[i:end]) {
		return 0
	}
	return end
}

// isCard judges the digits of s, which may have separators between them.
func isCard(s string) bool {
	var digits [maxCard]byte
	n := 0
	for i := range len(s) {
		if isDigit(s[i]) {
			digits[n] = s[i] - '0'
			n++
		}
	}
	if n < 14 {
		return false
	}
	prefix := 0
	for _, d := range digits[:4] {
		prefix = 10*prefix + int(d)
	}
	in := func(low, high int) bool { return prefix >= low && prefix <= high }
	var issued bool
	switch {
	case in(4000, 4999):
		issued = n == 16 || n == 19
	case in(5100, 5599), in(2221, 2720):
		issued = n == 16
	case in(3400, 3499), in(3700, 3799):
		issued = n == 15
	case in(3000, 3059), in(3600, 3699), in(3800, 3999):
		issued = n == 14
	case prefix == 6011, in(6440, 6599), in(3528, 3589), in(6200, 6299):
		issued = n >= 16
	}
	return issued && luhn(digits[:n])
}

// luhn is the check sum of ISO/IEC 7812-1: from the right every second digit is
// doubled, the digits of the results add up to a multiple of ten.
func luhn(digits []byte) bool {
	sum := 0
	for i, d := range digits {
		if (len(digits)-i)%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += int(d)
	}
	return sum%10 == 0
}

// ssn matches a US social security number.
func ssn(s string, i int) int {
	end := shape(s, i, "dddsddsdddd", "- ")
	if end == 0 || !rightFree(s, end) {
		return 0
	}
	area, group, serial := s[i:i+3], s[i+4:i+6], s[i+7:i+11]
	if area == "000" || area == "666" || area[0] == '9' || group == "00" || serial == "0000" {
		return 0
	}
	return end
}

// phone matches a telephone number.
func phone(s string, i int) int {
	if s[i] == '+' {
		return international(s, i)
	}
	start := i
	marked := s[i] == '(' // such that it can hardly be anything else
	if s[i] == '1' && i+1 < len(s) && strings.IndexByte(" .-", s[i+1]) >= 0 {
		start, marked = i+2, true
	}
	for _, pattern := range [...]string{"dddsdddsdddd", "(ddd) dddsdddd", "(ddd)dddsdddd", "(ddd)-dddsdddd"} {
		end := shape(s, start, pattern, " .-")
		if end == 0 || !phoneEnd(s, end) {
			continue
		}
		// Without hyphens the groups may be any numbers; area codes begin with
		// 2 to 9.
		if !marked && s[start+3] != '-' && s[start] < '2' {
			continue
		}
		return end
	}
	return 0
}

// phoneEnd is rightFree, but for an extension such as x12.
func phoneEnd(s string, end int) bool {
	return rightFree(s, end) || end+1 < len(s) && s[end] == 'x' && isDigit(s[end+1])
}

// international matches + and the digits of a number with its country code.
func international(s string, i int) int {
	const most = 15 // ITU-T E.164
	digits, end, parted, open := 0, 0, false, false
	k := i + 1
	if k >= len(s) || s[k] < '1' || s[k] > '9' {
		return 0
	}
scan:
	for ; k < len(s); k++ {
		b := s[k]
		prev := s[k-1]
		switch {
		case isDigit(b):
			if digits++; digits > most {
				return 0
			}
			if end = k + 1; open {
				end = 0
			}
		case b == '(' && !open && digits <= 4 && (isDigit(prev) || prev == ' '):
			open, parted = true, true
		case b == ')' && open && isDigit(prev):
			open = false
		case (b == ' ' || b == '-' || b == '.') && (isDigit(prev) || prev == ')'):
			if k+1 >= len(s) || !isDigit(s[k+1]) && s[k+1] != '(' {
				break scan
			}
			parted = true
		default:
			break scan
		}
	}
	least := 8
	if !parted {
		least = 10
	}
	if open || digits < least || end == 0 || !phoneEnd(s, end) {
		return 0
	}
	return end
}

// ipv4 matches four numbers from 0 to 255.
func ipv4(s string, i int) int {
	k := i
	for part := range 4 {
		if part > 0 {
			if k >= len(s) || s[k] != '.' {
				return 0
			}
			k++
		}
		start, value := k, 0
		for k < len(s) && k-start < 4 && isDigit(s[k]) {
			value = 10*value + int(s[k]-'0')
			k++
		}
		if n := k - start; n == 0 || value > 255 || n > 1 && s[start] == '0' {
			return 0
		}
		if part == 0 && (value == 0 || value == 127 || value > 223) {
			return 0
		}
	}
	if !rightFree(s, k) && !(k < len(s) && s[k] == '/') || namesVersion(s[:i]) {
		return 0
	}
	return k
}

// namesVersion tells whether the text before a number says that it is one of a
// version or a paragraph.
func namesVersion(before string) bool {
	const longest = 12
	before = before[max(0, len(before)-longest):]
	before = strings.TrimRight(before, " :=.#")
	start := len(before)
	for start > 0 && isLetter(before[start-1]) {
		start--
	}
	switch strings.ToLower(before[start:]) {
	case "v", "ver", "version", "versions", "release", "build", "firmware", "rev", "revision", "section", "sec", "chapter", "clause":
		return true
	}
	return false
}

// ipv6 matches an IPv6 address.
func ipv6(s string, i int) int {
	const longest = 45 // of its written forms
	k := i
	for k < len(s) && k-i < 5 && isHex(s[k]) {
		k++
	}
	// The first group of a global, unique local or link-local address.
	if k-i != 4 || k >= len(s) || s[k] != ':' || !leftFree(s, i) || i > 0 && s[i-1] == ':' {
		return 0
	}
	first := strings.ToLower(s[i:k])
	switch {
	case first[0] == '2', first[0] == '3':
	case strings.HasPrefix(first, "fc"), strings.HasPrefix(first, "fd"):
	case strings.HasPrefix(first, "fe") && strings.IndexByte("89ab", first[2]) >= 0:
	default:
		return 0
	}
	for k < len(s) && k-i <= longest && (isHex(s[k]) || s[k] == ':' || s[k] == '.') {
		k++
	}
	if k-i > longest || k < len(s) && isWord(s[k]) {
		return 0
	}
	text := strings.TrimRight(s[i:k], ".")
	if strings.HasSuffix(text, ":") && !strings.HasSuffix(text, "::") {
		text = text[:len(text)-1]
	}
	if _, err := netip.ParseAddr(text); err != nil {
		return 0
	}
	return i + len(text)
}

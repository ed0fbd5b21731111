package pii_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/contamination/pii"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
)

// yes and no hold, one a line, texts that are one hit of a type and texts that
// are none of any.
var yes = map[string]string{
	"email": `
anna@example.com
Write to anna.b+tag@mail.example.co.uk.
<first_last@sub-domain.example.org>
mailto:x@y.io?subject=hi
_anna@example.com_
(a@b.de)
ünal@example.com
USER%x@EXAMPLE.COM,
.dots@example.com
`,
	"phone": `
555-123-4567
call (212) 555-0187 now
(212)555-0187
(212) 555.0187
212.555.0187
212 555 0187
1-800-555-0199
1 (800) 555-0199
+1 212 555 0187
+1 (212) 555-0187
+12125550187
+44 20 7946 0958
+49 (30) 901820
+33-1-42-68-53-00
tel:+81-3-1234-5678.
212-555-0187x12
212-555-0187, ext. 3
電話555-123-4567です
(555-123-4567)
- 555-123-4567
`,
	"ssn": `
123-45-6789
SSN: 123 45 6789.
(001-01-0001)
"899-99-9999"
`,
	"ip": `
192.168.1.10
from 8.8.8.8, again
http://10.0.0.1:8080/x
[203.0.113.7]
10.1.2.3/24
2001:db8::1
2001:0db8:85a3:0000:0000:8a2e:0370:7334
fe80::1%eth0
fd12:3456:789a:1::1.
[2001:db8::ff00:42:8329]:443
::ffff:192.0.2.128
`,
	"credit_card": `
4111111111111111
4111 1111 1111 1111
4111-1111-1111-1111
5555555555554444, thanks
2223003122003222
378282246310005
3782 822463 10005
30569309025904
3056 930902 5904
6011111111111117
3530111333300000
card:4111111111111111
4111 1111 1111 1111 12/27
6205500000000000004
`,
}

const no = `

anna@localhost
@handle and # and @
a @ b.com
icon@2x.png
git@github.com:org/repo.git
a..b@example.com
a@example..com
a@-example.com
a@example.c
a@example.123
x@y@
a.@example.com
version 1.2.3.4
v1.2.3.4
Version: 10.0.19041.1
release 2.4.6.8
1.2.3.4-beta
1.2.3.4.5
01.2.3.4
256.1.1.1
120.0.6099.109
127.0.0.1
0.0.0.0
255.255.255.255
1.2.3
section 3.2.1.4
12:34:56
std::vector
a::b
dead::beef
abc::def
00:1a:2b:3c:4d:5e
10:11:12:13
::1
2001:xyz
2024-01-15
15.01.2024
01/15/2024 10:30
2024-01-15T10:30:00Z
2024-01-15 10:30:45.123
1700000000
1700000000000
000-12-3456
666-12-3456
912-12-3456
123-00-4567
123-45-0000
123456789
123-45-67890
1123-45-6789
123-45-6789-01
A123-45-6789
#123-45-6789
12345-6789
978-3-16-148410-0
4111111111111112
4111 1111 1111 1112
1234567812345678
0000000000000000
9111111111111111
41111111111111111111
0.4111111111111111
A4111111111111111
4111111111111111.5
4111-1111 1111-1111
4006381333931
ORD-2024-00123
order 100-2000-30000
#1234567890
555-1234
5551234567
123 456 7890
123.456.7890
+123 45
+12 34567
C+12345678901
555-123-45678
1555-123-4567
555-123-4567-8
$555-123-4567
x = 3 + 12345678901
+49 (30
+1234567890123456
550e8400-e29b-41d4-a716-446655440000
3.14159265358979323846
`

func only(kind string) pii.Counts {
	switch kind {
	case "email":
		return pii.Counts{Email: 1}
	case "phone":
		return pii.Counts{Phone: 1}
	case "ssn":
		return pii.Counts{SSN: 1}
	case "ip":
		return pii.Counts{IP: 1}
	}
	return pii.Counts{CreditCard: 1}
}

func lines(s string) []string { return strings.Split(strings.Trim(s, "\n"), "\n") }

func TestCount(t *testing.T) {
	for kind, texts := range yes {
		for _, text := range lines(texts) {
			assert.Equal(t, only(kind), pii.Count(text), text)
			assert.Equal(t, only(kind), pii.Count("Text: "+text+"\n"), "inside: %s", text)
		}
	}
	for _, text := range lines(no) {
		assert.Zero(t, pii.Count(text), text)
		assert.Zero(t, pii.Count("is "+text+" said\n"), "inside: %s", text)
	}
}

func TestCountsAddUp(t *testing.T) {
	var want pii.Counts
	var text strings.Builder
	for kind, texts := range yes {
		for _, l := range lines(texts) {
			want.Add(only(kind))
			text.WriteString(l + "\n")
		}
	}
	assert.Equal(t, want, pii.Count(text.String()))
	assert.Equal(t, want.Email+want.Phone+want.SSN+want.IP+want.CreditCard, want.Total())
	assert.Equal(t, pii.Counts{Email: 2, Phone: 1, IP: 1}, pii.Count("a@b.co;c@d.co 10.0.0.1,212-555-0187"))
}

// TestHostileTexts takes minutes when a pattern looks far ahead at every byte.
func TestHostileTexts(t *testing.T) {
	for _, unit := range []string{"@", "a@", "1", "1-", "123-45-", "4111 ", "+1(", "1.", "fe80:", "2001::", "(", "a.", "123 ", "(123) ", "\xff", "v1.2.3."} {
		c := pii.Count(strings.Repeat(unit, 4<<20/len(unit)))
		assert.LessOrEqual(t, c.Total(), 4<<20, unit)
	}
}

func TestScanFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write(`{"instruction":"a@b.co and c@d.co","input":"10.0.0.1","output":"212-555-0187","tags":{"by":"x@y.co"},"id":"z@z.co"}` + "\n" +
		`{"instruction":"x","output":"y"}` + "\n")
	s, err := pii.ScanFile(context.Background(), path, "")
	require.NoError(t, err)
	assert.Equal(t, &pii.Summary{RowCount: 2, Scan: pii.Counts{Email: 2, Phone: 1, IP: 1}, Total: 4, Rows: 1}, s)

	write(`{"text":"fine","label":"123-45-6789"}`)
	s, err = pii.ScanFile(context.Background(), path, dataset.Classification)
	require.NoError(t, err)
	assert.Equal(t, 1, s.Scan.SSN)
	assert.False(t, s.Clean)

	for _, task := range []string{"", dataset.SFT} {
		write(`{"nothing": 1}`)
		_, err = pii.ScanFile(context.Background(), path, task)
		var data *fault.DataError
		require.ErrorAs(t, err, &data)
	}
}

// FuzzCount holds two facts: a text that has no digit and no @ has nothing but
// IPv6 addresses in it, and a line break parts what is counted.
func FuzzCount(f *testing.F) {
	for _, texts := range yes {
		for _, l := range lines(texts) {
			f.Add(l, "x")
		}
	}
	for _, l := range lines(no) {
		f.Add(l, "")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		one := pii.Count(a)
		if !strings.ContainsFunc(a, unicode.IsDigit) && !strings.Contains(a, "@") {
			one.IP = 0
			require.Zero(t, one, a)
			one = pii.Count(a)
		}
		one.Add(pii.Count(b))
		if !strings.ContainsAny(a+b, "+") { // after + and a line break a number may begin
			require.Equal(t, one, pii.Count(a+"\n"+b))
		}
	})
}

func BenchmarkCount(b *testing.B) {
	text := strings.Repeat("The parcel 4711-22 of 2024-01-15 went from 10.0.0.1 to anna@example.com, see version 1.2.3 of the list. ", 1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		pii.Count(text)
	}
}

// Package pii counts what looks like personal data in texts: addresses of
// e-mail, telephone numbers, US social security numbers, IP addresses and
// numbers of payment cards.
//
// What it promises:
//
//   - Patterns are narrow: what is as likely a date, a version, an order number
//     or a piece of code is not counted. A count of zero is no proof of absence.
//   - A stretch of text counts once, as the first of card, ssn, phone and ip
//     that it is.
//   - The time is linear in the length of the text, whatever it holds. Texts are
//     looked at as bytes; they need not be UTF-8.
//   - What was found is counted and never handed out.
//
// What is counted:
//
//   - email: local part of letters, digits and . _ % + - (64 at most), @, and a
//     domain whose last label is made of letters. Names of image files such as
//     icon@2x.png and remotes such as git@host:path are not counted.
//   - phone: +, and 8 to 15 digits in groups parted by space, point, hyphen or
//     brackets, 10 at least when they stand in one piece; or ten digits in
//     groups of 3, 3 and 4, with 1 or +1 before them or not. Ten digits in one
//     piece and groups of other lengths are as often something else.
//   - ssn: groups of 3, 2 and 4 digits parted by hyphens or spaces, without the
//     groups that are never given out (000, 666, 9xx; 00; 0000).
//   - ip: IPv4 addresses without leading zeros of 1.0.0.0 to 223.255.255.255,
//     not after a word such as "version" or "v"; IPv6 addresses of 2000::/3,
//     fc00::/7 and fe80::/10. Loopback is nobody's.
//   - credit card: 14 to 19 digits in one piece or in the groups that cards
//     have, that begin as the numbers of an issuer do, have the issuer's length
//     and pass the Luhn check.
package pii

import (
	"context"

	"github.com/verifily/verifily-tui/core/dataset"
)

// Counts is how often each type was found.
type Counts struct {
	Email      int `json:"email"`
	Phone      int `json:"phone"`
	SSN        int `json:"ssn"`
	IP         int `json:"ip"`
	CreditCard int `json:"credit_card"`
}

// Total returns the sum of all types.
func (c Counts) Total() int { return c.Email + c.Phone + c.SSN + c.IP + c.CreditCard }

// Add adds the counts of d to c.
func (c *Counts) Add(d Counts) {
	c.Email += d.Email
	c.Phone += d.Phone
	c.SSN += d.SSN
	c.IP += d.IP
	c.CreditCard += d.CreditCard
}

// Count counts what is in a text.
func Count(text string) Counts {
	var c Counts
	for i := 0; i < len(text); {
		next := i + 1
		switch b := text[i]; {
		case b == '@':
			if end := email(text, i); end > 0 {
				c.Email++
				next = end
			}
		case isDigit(b) || b == '+' || b == '(':
			next = number(text, i, &c)
		case isHex(b):
			if end := ipv6(text, i); end > 0 {
				c.IP++
				next = end
			}
		}
		i = next
	}
	return c
}

// CountRow counts what is in the text fields of a row. Tags and the id are no
// text.
func CountRow(r *dataset.Row) Counts {
	var c Counts
	for _, field := range [...]string{r.Instruction, r.Input, r.Output, r.Text, r.Label} {
		c.Add(Count(field))
	}
	return c
}

// Summary is the outcome for a file, under the keys that the report of a data
// set has.
type Summary struct {
	RowCount int    `json:"row_count"`
	Scan     Counts `json:"pii_scan"`
	Total    int    `json:"pii_total_hits"`
	Clean    bool   `json:"pii_clean"`
	Rows     int    `json:"pii_rows"` // rows with at least one hit
}

// ScanFile counts what is in the rows of a JSONL file. The rows are checked as
// dataset.Scan does; an empty task is told by the first row.
func ScanFile(ctx context.Context, path, task string) (*Summary, error) {
	if task == "" {
		var err error
		if task, err = dataset.DetectTask(ctx, path); err != nil {
			return nil, err
		}
	}
	var s Summary
	err := dataset.Scan(ctx, path, task, func(r dataset.Row) error {
		s.RowCount++
		c := CountRow(&r)
		s.Scan.Add(c)
		if c.Total() > 0 {
			s.Rows++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.Total = s.Scan.Total()
	s.Clean = s.Total == 0
	return &s, nil
}

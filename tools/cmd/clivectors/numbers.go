package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tonistiigi/units"
)

type columnCase struct {
	Lines  []string `json:"lines"`
	Tabs   string   `json:"tabs"`
	Blanks string   `json:"blanks"`
}

// columnCases are random tables, as buildctl's lists and as its info print them.
func columnCases() []columnCase {
	r := rand.New(rand.NewSource(1))
	var out []columnCase
	for range 500 {
		var c columnCase
		for range 1 + r.Intn(6) {
			var cells []string
			for range 1 + r.Intn(4) {
				cells = append(cells, strings.Repeat("é", r.Intn(3))+strings.Repeat("x", r.Intn(13)))
			}
			line := strings.Join(cells, "\t")
			if r.Intn(5) == 0 {
				line += "\t"
			}
			c.Lines = append(c.Lines, line)
		}
		c.Tabs = aligned(c.Lines, func(b *bytes.Buffer) *tabwriter.Writer { return tabwriter.NewWriter(b, 1, 8, 1, '\t', 0) })
		c.Blanks = aligned(c.Lines, func(b *bytes.Buffer) *tabwriter.Writer { return tabwriter.NewWriter(b, 0, 0, 1, ' ', 0) })
		out = append(out, c)
	}
	return out
}

func aligned(lines []string, open func(*bytes.Buffer) *tabwriter.Writer) string {
	var buf bytes.Buffer
	w := open(&buf)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	w.Flush()
	return buf.String()
}

func someNumbers() []int64 {
	out := []int64{0, 1, 9, 999, 1000, 1001, 1234, 999_999, 1_000_000, 1_500_000, 1_000_000_000, 59_999_999_999, 60_000_000_000, 3_600_000_000_000, 1<<62 + 12345}
	r := rand.New(rand.NewSource(2))
	for range 300 {
		out = append(out, r.Int63()>>r.Intn(62))
	}
	return out
}

type numberCase struct {
	Value    int64  `json:"value"`
	Text     string `json:"text"`
	Shortest string `json:"shortest,omitempty"`
}

func durationCases() []numberCase {
	var out []numberCase
	for _, n := range someNumbers() {
		out = append(out, numberCase{Value: n, Text: time.Duration(n).String()}, numberCase{Value: -n, Text: time.Duration(-n).String()})
	}
	return out
}

type parsedCase struct {
	Text string `json:"text"`
	NS   int64  `json:"ns"`
	OK   bool   `json:"ok"`
}

func parsedDurations() []parsedCase {
	var out []parsedCase
	for _, text := range []string{
		"0", "+0", "-0", "1s", "1.5s", "1h30m", "1h1h", "100ms", "5us", "5µs", "5μs", "5ns", "-1s", "+1s", ".5s", "1.s", "2h45m30.5s", "48h",
		"", "1", "s", ".s", "1d", "1 s", "1h ", "--1s", "1e3s", "0x1s", "1h-1m", "soon", "٣s", "1_0s",
	} {
		d, err := time.ParseDuration(text)
		out = append(out, parsedCase{text, int64(d), err == nil})
	}
	return out
}

func sizeCases() []numberCase {
	var out []numberCase
	for _, n := range someNumbers() {
		if n >= 1e18 { // the Go package panics
			continue
		}
		out = append(out, numberCase{n, fmt.Sprintf("%.2f", units.Bytes(n)), fmt.Sprintf("%g", units.Bytes(n))})
	}
	return out
}

func timeCases() []numberCase {
	var out []numberCase
	for _, n := range []int64{0, 1, 1_700_000_000_000_000_000, 1_700_000_000_123_456_789, 1_700_000_000_120_000_000, -1, 4_102_444_800_000_000_000} {
		t := time.Unix(0, n).UTC()
		out = append(out, numberCase{n, t.String(), t.Format(time.RFC3339Nano)})
	}
	return out
}

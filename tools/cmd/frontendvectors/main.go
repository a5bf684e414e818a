// Command frontendvectors writes what the Go side's Dockerfile frontend reads out of its options: the values, the
// graphs of contexts, ignore files and named contexts. The tests compare our Python with it.
//
//	frontendvectors FILE     writes FILE, compressed JSON
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: frontendvectors FILE")
		os.Exit(2)
	}
	var rows []*row
	for _, c := range cases() {
		rows = append(rows, c.run(context.Background()))
	}
	if err := write(os.Args[1], rows); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(path string, rows any) error {
	dt, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	zw, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := zw.Write(dt); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, buf.Bytes(), 0o644)
}

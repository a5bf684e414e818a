// Command clivectors writes a table of what Go prints: templates over the values that buildctl gives them, columns,
// durations and sizes. The tests compare our command line with it.
//
//	clivectors FILE     writes FILE, gzipped JSON
//
// The same program always writes the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: clivectors FILE")
		os.Exit(2)
	}
	table := map[string]any{
		"messages":  messages(),
		"templates": templateCases(),
		"columns":   columnCases(),
		"durations": durationCases(),
		"parsed":    parsedDurations(),
		"sizes":     sizeCases(),
		"times":     timeCases(),
	}
	if err := write(os.Args[1], table); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// write stores a table, compressed without a time stamp.
func write(path string, table any) error {
	var buf bytes.Buffer
	zw, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(zw).Encode(table); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, buf.Bytes(), 0o644)
}

// Command valuevectors writes tables of what the Go side makes of CSV options, image references, platforms, source
// excerpts, error details and git addresses. The tests compare our Python with them.
//
//	valuevectors DIR     writes DIR/{csv,references,platforms,sources,statuses,remotes}.json.gz
//
// The same seed always gives the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

type table struct {
	name  string
	cases func() any
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: valuevectors DIR")
		os.Exit(2)
	}
	for _, t := range []table{
		{"csv", csvCases},
		{"references", referenceCases},
		{"platforms", platformCases},
		{"sources", sourceCases},
		{"statuses", statusCases},
		{"remotes", remoteCases},
	} {
		if err := write(filepath.Join(os.Args[1], t.name+".json.gz"), t.cases()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// write stores the cases one to a line, compressed without a time stamp.
func write(path string, cases any) error {
	dt, err := json.Marshal(cases)
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

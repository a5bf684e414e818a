package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
)

func write(dir string) error {
	if err := writeVectors(filepath.Join(dir, "llb-graphs.jsonl"), filepath.Join(dir, "llb-more.json.gz")); err != nil {
		return err
	}
	for name, answer := range tables {
		if err := writeTable(filepath.Join(dir, "llb-"+name+".json"), answer); err != nil {
			return err
		}
	}
	return nil
}

func writeVectors(graphs, vectors string) error {
	data, err := os.ReadFile(graphs)
	if err != nil {
		return err
	}
	var out list
	if err := lines(bytes.NewReader(data), func(line []byte) error {
		return out.add(summarize(context.Background(), line))
	}); err != nil {
		return err
	}
	var zipped bytes.Buffer
	zw, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := zw.Write(out.close()); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return err
	}
	return os.WriteFile(vectors, zipped.Bytes(), 0o644)
}

type tableCase struct {
	In    json.RawMessage `json:"in"`
	Out   any             `json:"out,omitempty"`
	Error string          `json:"error,omitempty"`
}

func writeTable(path string, answer func(json.RawMessage) (any, error)) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var cases []tableCase
	if err := json.Unmarshal(data, &cases); err != nil {
		return err
	}
	var table list
	for _, c := range cases {
		c.Out, c.Error = nil, ""
		if out, err := answer(c.In); err != nil {
			c.Error = err.Error()
		} else {
			c.Out = out
		}
		if err := table.add(c); err != nil {
			return err
		}
	}
	return os.WriteFile(path, table.close(), 0o644)
}

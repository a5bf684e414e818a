package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/pkg/errors"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "llbvectors:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "run":
		return lines(os.Stdin, func(line []byte) error {
			return encode(os.Stdout, summarize(context.Background(), line), "\n")
		})
	case len(args) == 2 && args[0] == "write":
		return write(args[1])
	}
	return errors.New("usage: llbvectors run | write DIR")
}

// lines calls f for every line that is not empty, at once, so that a caller may wait for each answer.
func lines(r io.Reader, f func([]byte) error) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if err := f(line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// list encodes values as a JSON list with one value a line.
type list struct {
	bytes.Buffer
	sep string
}

func (l *list) add(v any) error {
	if l.sep == "" {
		l.sep = "[\n"
	}
	l.WriteString(l.sep)
	l.sep = ",\n"
	return encode(l, v, "")
}

func (l *list) close() []byte {
	l.WriteString("\n]\n")
	return l.Bytes()
}

// encode writes compact JSON without the escapes for HTML, which would only blur the vectors.
func encode(w io.Writer, v any, end string) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(append(bytes.TrimSpace(out.Bytes()), end...))
	return err
}

// Command fsutilpeer is Go's side of the tests of tree transfers.
//
//	fsutilpeer receive [-differ none] DEST
//
// receives a tree by fsutil's protocol over its standard streams, each packet behind the five bytes that gRPC puts
// before a message. It exits with 0 when the transfer was whole, else with 1 and the error on standard
// error.
//
//	fsutilpeer query
//
// answers questions, one JSON object a line: what a client made in Go would send of a directory.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	gofs "io/fs"
	"log"
	"os"
	"sync"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

const maxMessage = 16 << 20

type stream struct {
	ctx context.Context
	in  *bufio.Reader
	out *bufio.Writer
	mu  sync.Mutex
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) RecvMsg(m any) error {
	var head [5]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return err
	}
	if head[0] != 0 {
		return fmt.Errorf("a message with flag %d", head[0])
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxMessage {
		return fmt.Errorf("a message of %d bytes", size)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(s.in, data); err != nil {
		return err
	}
	return m.(*types.Packet).UnmarshalVT(data)
}

func (s *stream) SendMsg(m any) error {
	data, err := m.(*types.Packet).MarshalVT()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var head [5]byte
	binary.BigEndian.PutUint32(head[1:], uint32(len(data)))
	if _, err := s.out.Write(head[:]); err != nil {
		return err
	}
	if _, err := s.out.Write(data); err != nil {
		return err
	}
	return s.out.Flush()
}

func receive(args []string) error {
	flags := flag.NewFlagSet("receive", flag.ExitOnError)
	differ := flags.String("differ", "metadata", "none requests every file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	opt := fsutil.ReceiveOpt{}
	if *differ == "none" {
		opt.Differ = fsutil.DiffNone
	}
	ctx := context.Background()
	conn := &stream{ctx: ctx, in: bufio.NewReaderSize(os.Stdin, 1<<20), out: bufio.NewWriter(os.Stdout)}
	return fsutil.Receive(ctx, conn, flags.Arg(0), opt)
}

// Question asks for what is sent of a directory; with Links only for what paths lead to.
type Question struct {
	Root     string   `json:"root"`
	Includes []string `json:"includes"`
	Excludes []string `json:"excludes"`
	Follow   []string `json:"follow"`
	Links    bool     `json:"links"`
}

// Answer is a list of entries, or of paths; Whole says that nothing is to be left out.
type Answer struct {
	Stats []*types.Stat `json:"stats,omitempty"`
	Paths []string      `json:"paths,omitempty"`
	Whole bool          `json:"whole,omitempty"`
	Error string        `json:"error,omitempty"`
}

// source is the tree as a client in Go serves it: see prepareSyncedFiles in buildkit's client.
func source(root string) (fsutil.FS, error) {
	fs, err := fsutil.NewFS(root)
	if err != nil {
		return nil, err
	}
	return fsutil.NewFilterFS(fs, &fsutil.FilterOpt{Map: func(_ string, st *types.Stat) fsutil.MapResult {
		st.Uid, st.Gid = 0, 0
		return fsutil.MapResultKeep
	}})
}

func answer(q Question) (Answer, error) {
	var a Answer
	fs, err := source(q.Root)
	if err != nil {
		return a, err
	}
	if q.Links {
		a.Paths, err = fsutil.FollowLinks(fs, q.Follow)
		a.Whole = a.Paths == nil
		return a, err
	}
	fs, err = fsutil.NewFilterFS(fs, &fsutil.FilterOpt{
		IncludePatterns: q.Includes, ExcludePatterns: q.Excludes, FollowPaths: q.Follow,
	})
	if err != nil {
		return a, err
	}
	err = fsutil.WithHardlinkReset(fs).Walk(context.Background(), "/", func(_ string, entry gofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		a.Stats = append(a.Stats, info.Sys().(*types.Stat))
		return nil
	})
	return a, err
}

func query() error {
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for {
		var q Question
		if err := in.Decode(&q); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		a, err := answer(q)
		if err != nil {
			a = Answer{Error: err.Error()}
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

func main() {
	log.SetFlags(0)
	var err error
	switch {
	case len(os.Args) > 2 && os.Args[1] == "receive":
		err = receive(os.Args[2:])
	case len(os.Args) == 2 && os.Args[1] == "query":
		err = query()
	default:
		err = errors.New("usage: fsutilpeer receive [-differ none] DEST | fsutilpeer query")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// Command solvebench runs cached solves of one graph through one Go client and prints the seconds of each as JSON.
//
//	solvebench ADDRESS ROUNDS CONCURRENCY < definition
//
// Each round starts CONCURRENCY solves at once and waits for all. One round before is not counted.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"golang.org/x/sync/errgroup"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 4 {
		return fmt.Errorf("usage: solvebench ADDRESS ROUNDS CONCURRENCY < definition")
	}
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	concurrency, err := strconv.Atoi(os.Args[3])
	if err != nil {
		return err
	}
	def, err := llb.ReadFrom(os.Stdin)
	if err != nil {
		return err
	}
	ctx := context.Background()
	c, err := client.New(ctx, os.Args[1])
	if err != nil {
		return err
	}
	defer c.Close()
	var seconds []float64
	for round := range rounds + 1 {
		start := time.Now()
		eg, ctx := errgroup.WithContext(ctx)
		for range concurrency {
			eg.Go(func() error {
				ch := make(chan *client.SolveStatus)
				done := make(chan struct{})
				go func() {
					defer close(done)
					for range ch {
					}
				}()
				_, err := c.Solve(ctx, def, client.SolveOpt{}, ch)
				<-done
				return err
			})
		}
		if err := eg.Wait(); err != nil {
			return err
		}
		if round > 0 {
			seconds = append(seconds, time.Since(start).Seconds())
		}
	}
	return json.NewEncoder(os.Stdout).Encode(seconds)
}

// Command load is both ends of a measurement: a server that answers with as many bytes as it is
// asked for, and clients that ask one question after another on connections that stay open: as fast
// as they are answered, or at a given rate.
package main

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// A question: its first four bytes say how many bytes to answer with.
const question = 64

func main() {
	target := flag.String("target", "", "where to ask; without it, serve")
	connections := flag.Int("connections", 1, "connections that stay open")
	seconds := flag.Float64("seconds", 1, "how long")
	size := flag.Int("size", 128, "bytes of an answer")
	rate := flag.Float64("rate", 0, "questions per second, of all connections; 0 is as many as are answered")
	flag.Parse()
	if *target == "" {
		serve()
		return
	}
	ask(*target, *connections, time.Duration(*seconds*float64(time.Second)), *size, *rate)
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	payload := make([]byte, 1<<20)
	for {
		connection, err := listener.Accept()
		fail(err)
		go func() {
			defer connection.Close()
			request := make([]byte, question)
			for {
				if _, err := io.ReadFull(connection, request); err != nil {
					return
				}
				size := binary.BigEndian.Uint32(request)
				if _, err := connection.Write(payload[:size]); err != nil {
					return
				}
			}
		}()
	}
}

func ask(target string, connections int, length time.Duration, size int, rate float64) {
	var group sync.WaitGroup
	var errors atomic.Int64
	times := make([][]time.Duration, connections)
	sockets := make([]net.Conn, connections)
	for i := range sockets {
		socket, err := net.Dial("tcp", target)
		fail(err)
		// Whoever does not answer at all must not keep us.
		fail(socket.SetDeadline(time.Now().Add(length + 10*time.Second)))
		sockets[i] = socket
	}
	began := time.Now()
	end := began.Add(length)
	for i, socket := range sockets {
		group.Go(func() {
			request, answer := make([]byte, question), make([]byte, size)
			binary.BigEndian.PutUint32(request, uint32(size))
			at := time.Now()
			for number := 0; at.Before(end); number++ {
				if rate > 0 {
					at = inTurn(began, float64(number*connections+i)/rate)
				}
				if _, err := socket.Write(request); err != nil {
					errors.Add(1)
					return
				}
				if _, err := io.ReadFull(socket, answer); err != nil {
					errors.Add(1)
					return
				}
				now := time.Now()
				times[i] = append(times[i], now.Sub(at))
				at = now
			}
		})
	}
	group.Wait()
	took := time.Since(began).Seconds()
	var all []time.Duration
	for _, each := range times {
		all = append(all, each...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	at := func(share float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return all[int(share*float64(len(all)-1))].Seconds()
	}
	fail(json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"rate":   float64(len(all)) / took,
		"bytes":  float64(len(all)) * float64(size) / took,
		"p50":    at(0.5),
		"p99":    at(0.99),
		"errors": float64(errors.Load()),
	}))
}

// inTurn waits until it is time, and gives the moment from which an answer is waited for. That is
// when it was due if the connection was still busy: to ask later would hide that others waited.
func inTurn(began time.Time, seconds float64) time.Time {
	due := began.Add(time.Duration(seconds * float64(time.Second)))
	wait := time.Until(due)
	if wait <= 0 {
		return due
	}
	time.Sleep(wait)
	return time.Now()
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// notifications: tells about the events of a stream, once for each, and remembers what it told.
//
// It keeps what it told in a bucket of JetStream's key-value store: no database but the broker.
// SUBJECT says which events, such as user.created or order.*, and ABOUT which of their fields names
// whom they are about, such as user.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const pause = 250 * time.Millisecond

// store is where notifications are kept: by whom they are about, and by the event.
type store struct{ bucket jetstream.KeyValue }

// remember keeps a notification; a second one of the same event changes nothing.
func (s store) remember(ctx context.Context, about, event string) error {
	_, err := s.bucket.Create(ctx, about+"."+event, []byte(event))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return nil
	}
	return err
}

// about lists the events that somebody was told of.
func (s store) about(ctx context.Context, whom string) ([]string, error) {
	keys, err := s.bucket.ListKeysFiltered(ctx, whom+".>")
	if err != nil {
		return nil, err
	}
	told := []string{}
	for key := range keys.Keys() {
		told = append(told, strings.TrimPrefix(key, whom+"."))
	}
	return told, nil
}

// follow handles the events, from where it stopped when it last ran, until the context ends.
func (s store) follow(ctx context.Context, consumer jetstream.Consumer, key string) error {
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		messages.Stop()
	}()
	for {
		message, err := messages.Next()
		if err != nil {
			return err
		}
		var event map[string]any
		if err := json.Unmarshal(message.Data(), &event); err != nil {
			log.Printf("%s: not JSON, put aside: %v", message.Subject(), err)
			_ = message.Term()
			continue
		}
		if err := s.remember(ctx, fmt.Sprint(event[key]), message.Subject()); err != nil {
			log.Printf("%s, again later: %v", message.Subject(), err)
			_ = message.NakWithDelay(pause)
			continue
		}
		_ = message.Ack()
	}
}

// consumer waits for the stream, which the service that writes to it makes.
func consumer(ctx context.Context, js jetstream.JetStream, subject string) jetstream.Consumer {
	config := jetstream.ConsumerConfig{
		Durable: "notifications", FilterSubject: subject, AckWait: 2 * time.Second,
	}
	for ctx.Err() == nil {
		stream, err := js.StreamNameBySubject(ctx, subject)
		if err == nil {
			var made jetstream.Consumer
			if made, err = js.CreateOrUpdateConsumer(ctx, stream, config); err == nil {
				return made
			}
		}
		log.Printf("waiting for the stream: %v", err)
		time.Sleep(pause)
	}
	return nil
}

// bucket waits for the broker, which may start later than we do.
func bucket(ctx context.Context, js jetstream.JetStream) jetstream.KeyValue {
	for ctx.Err() == nil {
		made, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "notifications"})
		if err == nil {
			return made
		}
		log.Printf("waiting for the broker: %v", err)
		time.Sleep(pause)
	}
	return nil
}

func serve(ctx context.Context, kept store) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /notifications/{whom}", func(w http.ResponseWriter, r *http.Request) {
		told, err := kept.about(r.Context(), r.PathValue("whom"))
		if err != nil {
			answer(w, http.StatusServiceUnavailable, map[string]string{"error": err.Error()})
			return
		}
		answer(w, http.StatusOK, told)
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{Addr: ":" + port, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	connection, err := nats.Connect(
		os.Getenv("EVENTS_URL"),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(pause),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		log.Fatal(err)
	}
	kept := store{bucket(ctx, js)}
	go func() {
		events := consumer(ctx, js, os.Getenv("SUBJECT"))
		if err := kept.follow(ctx, events, os.Getenv("ABOUT")); ctx.Err() == nil {
			log.Fatal(err)
		}
	}()
	if err := serve(ctx, kept); err != nil {
		log.Fatal(err)
	}
}

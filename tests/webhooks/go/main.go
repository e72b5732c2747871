// A receiver. With a secret, it verifies what it gets with the library of Standard Webhooks, and takes nothing else.
//
// It prints its port. POST /secret gives it its secret, POST /delay how long each answer takes, POST /forget has it forget what
// it got, GET /report tells what it got, GET /list each request in the order in which they came.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type event struct {
	ID      string
	Type    string
	Subject struct{ ID string }
	Data    struct{ Name, Status string }
}

type got struct {
	At      int64  `json:"at"` // nanoseconds since 1970
	ID      string `json:"id"`
	Type    string `json:"type"`
	Subject string `json:"subject"`
	Name    string `json:"name"`
	Status  string `json:"status"`
}

type report struct {
	Verified int      `json:"verified"`
	Refused  int      `json:"refused"`
	WithTwo  int      `json:"with_two"`
	Count    int      `json:"count"`
	IDs      []string `json:"ids"`
	Why      string   `json:"why"`
}

var (
	webhook atomic.Pointer[standardwebhooks.Webhook]
	delay   atomic.Int64
	lock    sync.Mutex
	said    report
	list    = []got{}
)

func take(w http.ResponseWriter, r *http.Request) {
	now := time.Now().UnixNano()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if verifier := webhook.Load(); verifier != nil {
		if err := verifier.Verify(body, r.Header); err != nil {
			lock.Lock()
			said.Refused++
			said.Why = err.Error()
			lock.Unlock()
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	lock.Lock()
	said.Verified++
	if strings.Contains(r.Header.Get("webhook-signature"), " ") {
		said.WithTwo++
	}
	list = append(list, got{now, r.Header.Get("webhook-id"), e.Type, e.Subject.ID, e.Data.Name, e.Data.Status})
	lock.Unlock()
	time.Sleep(time.Duration(delay.Load()))
	w.WriteHeader(http.StatusNoContent)
}

func main() {
	http.HandleFunc("POST /hooks", take)
	http.HandleFunc("POST /secret", func(w http.ResponseWriter, r *http.Request) {
		secret, _ := io.ReadAll(r.Body)
		verifier, err := standardwebhooks.NewWebhook(string(secret))
		if err != nil {
			log.Fatal(err)
		}
		webhook.Store(verifier)
	})
	http.HandleFunc("POST /delay", func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		time, err := time.ParseDuration(string(text))
		if err != nil {
			log.Fatal(err)
		}
		delay.Store(int64(time))
	})
	http.HandleFunc("POST /forget", func(http.ResponseWriter, *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		said, list = report{}, []got{}
	})
	http.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		fmt.Fprint(w, len(list))
	})
	http.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		said.Count = len(list)
		said.IDs = nil
		for _, one := range list {
			said.IDs = append(said.IDs, one.ID)
		}
		json.NewEncoder(w).Encode(said)
	})
	http.HandleFunc("GET /list", func(w http.ResponseWriter, _ *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		json.NewEncoder(w).Encode(list)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, nil))
}

// Dex without its gRPC API, whose generated code no module has: server, storage, pages and local passwords are Dex's own.
//
//	dex CONFIGURATION LISTEN
//
// CONFIGURATION is a file of JSON with issuer, algorithm, clients as storage.Client has them, and people as
// storage.Password has them, and their password as secret.
package main

import (
	"context"
	"encoding/json"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/AppsFlyer/go-sundheit"
	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/server/signer"
	"github.com/dexidp/dex/server/tokens"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/bcrypt"
)

type configuration struct {
	Issuer    string
	Algorithm jose.SignatureAlgorithm
	Clients   []storage.Client
	People    []person
}

type person struct {
	storage.Password
	Secret string
}

func main() {
	handler, err := dex(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(os.Args[2], handler))
}

func dex(file string) (http.Handler, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var c configuration
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, err
	}
	ctx, logger := context.Background(), slog.Default()
	store := storage.WithStaticClients(memory.New(logger), c.Clients)
	passwords := make([]storage.Password, len(c.People))
	for i, person := range c.People {
		passwords[i] = person.Password
		if passwords[i].Hash, err = bcrypt.GenerateFromPassword([]byte(person.Secret), 10); err != nil {
			return nil, err
		}
	}
	store = storage.WithStaticPasswords(store, passwords, logger)
	store = storage.WithStaticConnectors(store, []storage.Connector{{ID: "local", Name: "Email", Type: "local"}})
	keys := signer.LocalConfig{KeysRotationPeriod: "6h", Algorithm: c.Algorithm}
	sign, err := keys.Open(ctx, store, 24*time.Hour, time.Now, logger)
	if err != nil {
		return nil, err
	}
	refresh, err := tokens.NewRefreshTokenPolicy(logger, false, "", "", "")
	if err != nil {
		return nil, err
	}
	return server.NewServer(ctx, server.Config{
		Issuer:             c.Issuer,
		Storage:            store,
		Signer:             sign,
		RefreshTokenPolicy: refresh,
		Logger:             logger,
		PrometheusRegistry: prometheus.NewRegistry(),
		HealthChecker:      gosundheit.New(),
	})
}

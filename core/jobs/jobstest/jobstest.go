// Package jobstest lets tests run on every database that a queue can be kept in.
package jobstest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Variable names the PostgreSQL server on which tests run a second time; see
// scripts/postgres.sh.
const Variable = "VERIFILY_TEST_POSTGRES"

// OnEach runs a test in parallel with others on every database that there is:
// with the URL of an empty one of PostgreSQL, and with none for SQLite.
func OnEach(t *testing.T, test func(t *testing.T, database string)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) { test(t, "") })
	if server := os.Getenv(Variable); server != "" {
		t.Run("postgres", func(t *testing.T) { test(t, Fresh(t, server)) })
	}
}

// Fresh makes a database on a server that is dropped when the test ends.
func Fresh(t testing.TB, server string) string {
	t.Helper()
	name := "t" + rand.Text()[:12]
	admin := func(stmt string) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		conn, err := pgx.Connect(ctx, server)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, stmt)
		require.NoError(t, conn.Close(ctx))
		return err
	}
	require.NoError(t, admin(`CREATE DATABASE "`+name+`"`))
	t.Cleanup(func() { require.NoError(t, admin(`DROP DATABASE "`+name+`" WITH (FORCE)`)) })
	u, err := url.Parse(server)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}

package jobs

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/jobs/database"
	"github.com/verifily/verifily-tui/runs/canonical"
)

const (
	// maxName bounds what names a request, in bytes.
	maxName        = 256
	defaultProject = "default"
)

// Submit takes a job. When it returns without an error the job is on disk.
func (q *Queue) Submit(ctx context.Context, req Request) (Job, error) {
	q.mu.Lock()
	closing := q.closed || q.draining
	q.mu.Unlock()
	if closing {
		return Job{}, ErrClosed
	}
	if _, ok := q.opt.Kinds[req.Kind]; !ok && q.opt.Kinds != nil {
		return Job{}, fmt.Errorf("%w: %q", ErrUnknownKind, req.Kind)
	}
	if q.opt.Prepare != nil {
		var err error
		if req.Input, err = q.opt.Prepare(req.Kind, req.Input); err != nil {
			return Job{}, fmt.Errorf("submit job: %w", err)
		}
	}
	job, err := q.jobOf(req)
	if err != nil {
		return Job{}, err
	}
	if err := q.room.take(ctx, q.countQueued); err != nil {
		return Job{}, err
	}
	taken, again, err := q.insert(ctx, job, idempotency(req))
	if err != nil || again {
		q.room.giveBack()
	}
	if err != nil {
		return Job{}, fmt.Errorf("submit job: %w", err)
	}
	return taken, nil
}

// jobOf checks a request and fills in what it leaves out.
func (q *Queue) jobOf(req Request) (Job, error) {
	for name, s := range map[string]*string{"request id": &req.RequestID, "key id": &req.APIKeyID, "project": &req.ProjectID,
		"idempotency key": &req.IdempotencyKey} {
		if len(*s) > maxName || !utf8.ValidString(*s) || strings.ContainsRune(*s, 0) {
			return Job{}, fmt.Errorf("submit job: the %s must be valid UTF-8 without zero bytes, at most %d bytes", name, maxName)
		}
	}
	if req.RequestID == "" {
		req.RequestID = randomHex(6)
	}
	if req.APIKeyID == "" {
		req.APIKeyID = Anonymous
	}
	if req.ProjectID == "" {
		req.ProjectID = defaultProject
	}
	hash, err := inputHash(req.Input)
	if err != nil {
		return Job{}, fmt.Errorf("submit job: the input is no JSON object: %w", err)
	}
	return Job{ID: randomHex(8), Type: req.Kind, Status: Queued, CreatedAt: seconds(time.Now()), RequestID: req.RequestID,
		APIKeyID: req.APIKeyID, ProjectID: req.ProjectID, InputHash: hash, Input: req.Input}, nil
}

// inputHash is the same for inputs that say the same.
func inputHash(input json.RawMessage) (string, error) {
	if !json.Valid(input) {
		return "", errors.New("it cannot be parsed")
	}
	dec := json.NewDecoder(bytes.NewReader(input))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		return "", err
	}
	if v == nil {
		return "", errors.New("it is null")
	}
	return canonical.Hash(v)
}

// idempotency is the column by which a request is found again, nil without a key.
func idempotency(req Request) *string {
	if req.IdempotencyKey == "" {
		return nil
	}
	// Lengths keep ("ab", "c") apart from ("a", "bc").
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s%s%s", len(req.APIKeyID), len(req.ProjectID), req.APIKeyID, req.ProjectID, req.IdempotencyKey))
	key := hex.EncodeToString(sum[:])
	return &key
}

// insert puts a job and its ticket into the database. again says that the key
// was known and the job is an earlier one.
func (q *Queue) insert(ctx context.Context, job Job, key *string) (taken Job, again bool, err error) {
	lane := q.lane(job)
	err = q.db.Write(ctx, func(ctx context.Context, tx database.Tx) error {
		taken, again = job, false
		if key != nil {
			found, err := earlier(ctx, tx, *key)
			if err == nil {
				if found.Type != job.Type || found.InputHash != job.InputHash {
					return ErrKeyReused
				}
				taken, again = found, true
				return nil
			}
			if !errors.Is(err, database.ErrNoRows) {
				return err
			}
		}
		ids, err := tx.InsertTickets(ctx, []database.Ticket{{JobID: job.ID, Queue: lane}})
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `INSERT INTO verifily_job (id, kind, status, lane, ticket, attempt, deaths, cancel, created_at,
				request_id, api_key_id, project_id, input_hash, idempotency, progress_n, input)
			VALUES ($1, $2, 'QUEUED', $3, $4, 0, 0, 0, $5, $6, $7, $8, $9, $10, 0, $11)
			ON CONFLICT (idempotency) WHERE idempotency IS NOT NULL DO NOTHING`,
			job.ID, job.Type, lane, ids[0], job.CreatedAt, job.RequestID, job.APIKeyID, job.ProjectID, job.InputHash, key, []byte(job.Input))
		if err == nil && n == 0 {
			err = errKeyRace
		}
		return err
	})
	if errors.Is(err, errKeyRace) { // the other one is committed by now
		return q.insert(ctx, job, key)
	}
	return taken, again, err
}

// errKeyRace undoes a submit whose key another one has taken meanwhile.
var errKeyRace = errors.New("the key was taken meanwhile")

func earlier(ctx context.Context, tx database.Tx, key string) (Job, error) {
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM verifily_job WHERE idempotency = $1`, key)
	if err != nil {
		return Job{}, err
	}
	return oneJob(rows)
}

func (q *Queue) lane(job Job) string {
	if q.opt.Heavy(job.Type, job.Input) {
		return heavyLane
	}
	return lightLane
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program where there is no randomness
	return hex.EncodeToString(b)
}

// room keeps the number of waiting jobs below a limit without counting them for
// every submit. With several processes the limit can be passed by what they take
// within a second.
type room struct {
	max int

	mu      sync.Mutex
	queued  int // as counted last, and what was taken since
	counted time.Time
}

const (
	recountAfter = time.Second
	// Near the limit counting goes on more often, but not for every refusal.
	recountWhenFull = 50 * time.Millisecond
)

func (r *room) take(ctx context.Context, count func(context.Context) (int, error)) error {
	if r.max < 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	age := time.Since(r.counted)
	if age > recountAfter || r.queued >= r.max && age > recountWhenFull {
		n, err := count(ctx)
		if err != nil {
			return err
		}
		r.queued, r.counted = n, time.Now()
	}
	if r.queued >= r.max {
		return ErrQueueFull
	}
	r.queued++
	return nil
}

func (r *room) giveBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queued--
}

//! The pool's journal: shares in columns, solutions, fates and incomes, and the windows computed over them.

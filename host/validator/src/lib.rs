//! The rayon proof-of-work validator: batches of shares over compiled recipes.

"""Class tables: CSV files `id,name,thing,evaluated,synonyms,raw_ids,role`."""

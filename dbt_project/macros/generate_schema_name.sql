{# A mart lies in schema grid, not in main_grid: its name is part of the contract with BI. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
  {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro %}
